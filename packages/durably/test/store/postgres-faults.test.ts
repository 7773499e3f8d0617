import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { createDurably, defineJob } from '../../src/index.ts'
import { postgresDialect } from '../../src/postgres.ts'
import { isConflict, isRejection } from '../../src/store/sql/dialects/postgres-errors.ts'
import { RejectedWriteError, type Batch, type Store } from '../../src/store/store.ts'
import {
  claimRequest,
  ending,
  enqueue,
  kindsOf,
  newRun,
  START,
  startRun,
} from '../conformance/store/scenario.ts'
import { createHeldPool, openSchema, type HeldPool, type Schema } from './postgres-schema.ts'

async function openOne(): Promise<{ schema: Schema; held: HeldPool; store: Store }> {
  const schema = await openSchema()
  const held = createHeldPool(schema.pool())
  return { schema, held, store: await schema.store(held.pool) }
}

/** A batch that ends a run, enqueues another of its key, and claims. */
async function mixedBatch(store: Store): Promise<Batch> {
  const key = { concurrencyKey: 'key' }
  const claimed = await startRun(store, 'a', key)
  return {
    commits: [ending(claimed, 'complete')],
    runs: [newRun('b', { ...key, idempotencyKey: 'once' })],
    sends: [],
    claim: claimRequest({ workerId: 'other' }),
  }
}

const COMMITTED = ['run:trigger', 'run:start', 'run:complete']

const MORE = { interval: 5, timeout: 20_000 }

describe('a connection that breaks', () => {
  test('before the commit: nothing was written, and the same batch goes in', async () => {
    const { schema, held, store } = await openOne()
    const batch = await mixedBatch(store)
    const transaction = held.hold()
    const failing = store.write(batch, START)
    await transaction.reached
    expect(await schema.terminate(`state = 'idle in transaction'`)).toBe(1)
    transaction.commit()
    const error: unknown = await failing.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(Error)
    expect(error).not.toBeInstanceOf(RejectedWriteError)
    expect(await kindsOf(store, 'a')).toEqual(['run:trigger', 'run:start'])
    expect(await store.run('b')).toBeNull()

    expect(await store.write(batch, START)).toMatchObject({
      commits: ['committed'],
      runs: [{ disposition: 'created', run: { id: 'b' } }],
      claimed: [{ run: { id: 'b' } }],
    })
    expect(await kindsOf(store, 'a')).toEqual(COMMITTED)
  })

  test('after the commit: the same batch finds what it did', async () => {
    const { held, store } = await openOne()
    const batch = await mixedBatch(store)
    const transaction = held.hold()
    const failing = store.write(batch, START)
    await transaction.reached
    transaction.commitUnheard(new Error('Connection terminated unexpectedly'))
    await expect(failing).rejects.toThrow('Connection terminated unexpectedly')

    expect(await store.write({ ...batch, claim: null }, START)).toMatchObject({
      commits: ['committed'],
      runs: [{ disposition: 'created', run: { id: 'b' } }],
    })
    expect(await kindsOf(store, 'a')).toEqual(COMMITTED)
    expect(await kindsOf(store, 'b')).toEqual(['run:trigger', 'run:start'])
    expect(await store.leases('other')).toEqual([{ runId: 'b', generation: 1, inbox: 0 }])
  })

  test('over and over under a worker costs time and nothing else', async () => {
    const schema = await openSchema()
    const executions = new Map<string, number>()
    const steps = Array.from({ length: 30 }, (_, i) => `step ${i}`)
    const job = defineJob({
      name: 'job',
      input: z.object({ run: z.number() }),
      run: async (step, { run }) => {
        for (const name of steps) {
          await step.run(name, async () => {
            const key = `${run}: ${name}`
            executions.set(key, (executions.get(key) ?? 0) + 1)
            await delay(5)
          })
        }
      },
    })
    const dialect = postgresDialect({ pool: schema.pool() })
    const durably = createDurably({ dialect, jobs: { job }, maxConcurrentRuns: 5 })
    onTestFinished(() => durably.close())
    await durably.init()
    const items = Array.from({ length: 10 }, (_, run) => ({ run }))
    await durably.jobs.job.batchTrigger(items)
    const completed = `select 1 from durably_runs where status = 'completed'`
    const all = items.length * steps.length
    let seen = 0
    while ((await schema.query(completed)).length < items.length) {
      await delay(50)
      // On a busy machine it would come to nothing between one break and the next.
      if (seen < all) await expect.poll(() => executions.size, MORE).toBeGreaterThan(seen)
      seen = executions.size
      await schema.terminate()
    }

    // No step that was told to be over ran again: every one ran once, since no worker crashed.
    expect(executions.size).toBe(all)
    expect([...executions.values()].filter((times) => times > 1)).toEqual([])
    const [gaps] = await schema.query(`
      select count(*)::int as n from (
        select run from durably_journal group by run having max(seq) <> count(*)) as g`)
    expect(gaps).toEqual({ n: 0 })
  })
})

describe('what PostgreSQL will never take', () => {
  test.each([
    ['NUL in a name', { jobName: 'a\0b' }],
    ['a key longer than an index can have', { concurrencyKey: randomText(20_000) }],
    ['a time that is no integer', { dueAt: 1e300 }],
  ])('%s is rejected', async (_, more) => {
    const { store } = await openOne()
    await expect(enqueue(store, [newRun('a', more)])).rejects.toThrow(RejectedWriteError)
  })

  test('a batch that is longer than a string can be is rejected', async () => {
    const { store } = await openOne()
    // As JSON.stringify says it, from half a gigabyte on.
    const toJSON = (): never => {
      throw new RangeError('Invalid string length')
    }
    const text = { toJSON } as unknown as string
    const runs = ['a', 'b'].map((id) => newRun(id, { payload: { format: 'json', text } }))
    await expect(enqueue(store, runs)).rejects.toThrow(RejectedWriteError)
  })

  /** It cannot be compressed. */
  function randomText(length: number): string {
    return Array.from({ length }, () => String.fromCharCode(33 + Math.random() * 90)).join('')
  }
})

test.each([
  ['22021', 'rejected'],
  ['23505', 'rejected'],
  ['54000', 'rejected'],
  ['40001', 'again'],
  ['40P01', 'again'],
  ['08006', 'unknown'],
  ['57P01', 'unknown'],
  ['57014', 'unknown'],
  ['53300', 'unknown'],
  ['25006', 'unknown'],
  ['42P01', 'unknown'],
  ['ECONNRESET', 'unknown'],
  [undefined, 'unknown'],
])('%s is %s', (code, meaning) => {
  const error = Object.assign(new Error('no'), { code })
  expect(isRejection(error)).toBe(meaning === 'rejected')
  expect(isConflict(error)).toBe(meaning === 'again')
})
