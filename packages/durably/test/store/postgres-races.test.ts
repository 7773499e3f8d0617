import { describe, expect, test } from 'vitest'
import {
  act,
  claim,
  claimRequest,
  commit,
  commitOf,
  ending,
  enqueue,
  existing,
  idsOf,
  JOB,
  kindsOf,
  heldOf,
  newRun,
  nothing,
  only,
  reclaim,
  START,
  startRun,
  stepDone,
} from '../conformance/store/scenario.ts'
import type { Batch, Claim, ClaimRequest, NewRun, Store } from '../../src/store/store.ts'
import { createHeldPool, intercept, openSchema, openTwo } from './postgres-schema.ts'

const KEY = { concurrencyKey: 'key' }

/** A run with labels, for which a transaction is needed. */
const LABELED = { labels: { x: '1' } }

/** A claim that can be held: by itself it is one statement, which has no transaction. */
async function claimInTransaction(
  store: Store,
  more: Partial<ClaimRequest> = {},
): Promise<readonly Claim[]> {
  const other = newRun('other', { ...LABELED, jobName: 'other' })
  const batch = { commits: [], runs: [other], sends: [] }
  return (await store.write({ ...batch, claim: claimRequest(more) }, START)).claimed
}

function makeAndClaim(id: string, more: Partial<NewRun> = {}): Batch {
  return { ...nothing, runs: [newRun(id, more)], claim: claimRequest() }
}

describe('claim', () => {
  test('passes by what another transaction is about to take', async () => {
    const { held, first, second } = await openTwo()
    await enqueue(
      first,
      ['a', 'b', 'c'].map((id) => newRun(id)),
    )
    const transaction = held.hold()
    const slow = claimInTransaction(first, { workerId: 'one', limit: 2 })
    await transaction.reached
    expect(idsOf(await claim(second, { workerId: 'two' }))).toEqual(['c'])
    transaction.commit()
    expect(idsOf(await slow)).toEqual(['a', 'b'])
  })

  test('finds again what a transaction that failed had taken', async () => {
    const { held, first, second } = await openTwo()
    await enqueue(first, [newRun('a', KEY), newRun('b', KEY)])
    const transaction = held.hold()
    const failing = claimInTransaction(first, { workerId: 'one' })
    await transaction.reached
    expect(await claim(second, { workerId: 'two' })).toEqual([])
    transaction.fail(new Error('The network is gone'))
    await expect(failing).rejects.toThrow('The network is gone')
    expect(idsOf(await claim(second, { workerId: 'two' }))).toEqual(['a'])
  })
})

test('a claim that began before an entry came into the journal of a run goes behind it', async () => {
  const { schema, first, second } = await openTwo()
  await startRun(first, 'before')
  await enqueue(first, [newRun('a', KEY)])
  const lock = await schema.pool().connect()
  await lock.query('begin')
  await lock.query('select id from durably_workers for update')
  const claiming = claim(first)
  await schema.untilBlocked()
  expect(await enqueue(second, [newRun('b', { ...KEY, coalesce: true })])).toMatchObject([
    { disposition: 'coalesced' },
  ])
  await lock.query('commit')
  lock.release()
  const { entry } = only(await claiming)
  expect(await kindsOf(second, 'a')).toEqual(['run:trigger', 'run:coalesced', 'run:start'])
  expect(entry).toMatchObject({ seq: 3, data: '{"attempt":1}' })
})

test('who reads a journal while its run ends reads what it ended with', async () => {
  const schema = await openSchema()
  const reached = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const held = intercept(schema.pool(), async (text, send) => {
    if (/from "durably_journal" e where e.run = \(select/.test(text)) {
      reached.resolve()
      await goOn.promise
    }
    return send()
  })
  const [writer, reader] = [await schema.store(), await schema.store(held)]
  const claimed = await startRun(writer, 'a')
  const reading = reader.journal('a', 0, 10)
  await reached.promise
  expect(await commit(writer, ending(claimed, 'complete'))).toBe('committed')
  goOn.resolve()
  const page = await reading
  expect(page?.entries.at(-1)?.kind).toBe('run:complete')
  expect(page?.run).toEqual(await writer.run('a'))
})

describe('cancel', () => {
  test.each(['a step', 'the end'])('that is about to commit refuses %s', async (what) => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a', KEY)
    await enqueue(first, [newRun('b', KEY)])
    const transaction = held.hold()
    const cancelling = act(first, 'cancel', 'a')
    await transaction.reached
    const request =
      what === 'a step' ? commitOf(claimed, [stepDone(2)]) : ending(claimed, 'complete')
    const answer = commit(second, request)
    await schema.untilBlocked()
    transaction.commit()
    expect(await cancelling).toMatchObject({ done: true, entry: { seq: 3, generation: 2 } })
    expect(await answer).toBe('cancelled')
    expect(await kindsOf(second, 'a')).toEqual(['run:trigger', 'run:start', 'run:cancel'])
    expect(idsOf(await claim(second))).toEqual(['b'])
  })

  test('waits for an end that is about to commit, and comes too late', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const transaction = held.hold()
    const completing = commit(first, ending(claimed, 'complete'))
    await transaction.reached
    const cancelling = act(second, 'cancel', 'a')
    await schema.untilBlocked()
    transaction.commit()
    expect(await completing).toBe('committed')
    expect(await cancelling).toEqual({ done: false, status: 'completed' })
    expect(await kindsOf(second, 'a')).toEqual(['run:trigger', 'run:start', 'run:complete'])
  })

  test('takes the position after a step that is about to commit', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const transaction = held.hold()
    // With progress it is a transaction, which can be held.
    const request = { ...commitOf(claimed, [stepDone(2)]), progress: { current: 1 } }
    const stepping = commit(first, request)
    await transaction.reached
    const cancelling = act(second, 'cancel', 'a')
    await schema.untilBlocked()
    transaction.commit()
    expect(await stepping).toBe('committed')
    expect(await cancelling).toMatchObject({ done: true, entry: { seq: 4 } })
  })
})

describe('one idempotency key', () => {
  const same = { idempotencyKey: 'key' }

  test('that another transaction commits is its run', async () => {
    const { schema, held, first, second } = await openTwo()
    const transaction = held.hold()
    // With a label it is more than one statement.
    const winning = enqueue(first, [newRun('a', { ...same, labels: { x: '1' } })])
    await transaction.reached
    const losing = enqueue(second, [newRun('b', same), newRun('c')])
    await schema.untilBlocked()
    transaction.commit()
    expect(await winning).toMatchObject([{ disposition: 'created', run: { id: 'a' } }])
    expect(await losing).toMatchObject([
      { disposition: 'idempotent', run: { id: 'a' } },
      { disposition: 'created', run: { id: 'c' } },
    ])
  })

  test('that another transaction takes back is free', async () => {
    const { schema, held, first, second } = await openTwo()
    const transaction = held.hold()
    const failing = enqueue(first, [newRun('a', { ...same, ...KEY })])
    await transaction.reached
    const waiting = enqueue(second, [newRun('b', { ...same, ...KEY })])
    await schema.untilBlocked()
    transaction.fail(new Error('The network is gone'))
    await expect(failing).rejects.toThrow('The network is gone')
    expect(await waiting).toMatchObject([{ disposition: 'created', run: { id: 'b' } }])
    expect(idsOf(await claim(second))).toEqual(['b'])
  })
})

describe('one concurrency key', () => {
  test('freed while another run comes to it is not stranded', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a', KEY)
    const transaction = held.hold()
    const completing = commit(first, ending(claimed, 'complete'))
    await transaction.reached
    const coming = enqueue(second, [newRun('b', KEY)])
    await schema.untilBlocked()
    transaction.commit()
    await completing
    await coming
    expect(idsOf(await claim(second))).toEqual(['b'])
  })

  test('that two runs come to at once has one head', async () => {
    const { schema, held, first, second } = await openTwo()
    const transaction = held.hold()
    const one = enqueue(first, [newRun('a', KEY)])
    await transaction.reached
    const other = enqueue(second, [newRun('b', KEY)])
    await schema.untilBlocked()
    transaction.commit()
    await one
    await other
    const head = only(await claim(second))
    expect(await claim(second)).toEqual([])
    expect(await commit(second, ending(head, 'complete'))).toBe('committed')
    expect(only(await claim(second)).run.id).not.toBe(head.run.id)
  })

  test('whose head is being claimed stays one run at a time', async () => {
    const { schema, held, first, second } = await openTwo()
    await enqueue(first, [newRun('b', KEY)])
    const transaction = held.hold()
    const claiming = claimInTransaction(first, { workerId: 'one' })
    await transaction.reached
    // Due before the head, it would take its place if that had not been taken.
    const coming = enqueue(second, [newRun('a', { ...KEY, dueAt: START - 1 })])
    await schema.untilBlocked()
    transaction.commit()
    expect(idsOf(await claiming)).toEqual(['b'])
    await coming
    expect(await claim(second, { workerId: 'two' })).toEqual([])
  })

  test('and others, in batches of opposite order, end in no deadlock', async () => {
    const schema = await openSchema()
    const errors: unknown[] = []
    const watched = intercept(schema.pool(), (_, send) =>
      send().catch((error: unknown) => {
        errors.push(error)
        throw error
      }),
    )
    const first = await schema.store(watched)
    const second = await schema.store(watched)
    const keys = ['w', 'x', 'y', 'z']
    const batch = (store: Store, round: number, order: readonly string[]) =>
      enqueue(
        store,
        order.map((key) =>
          newRun(`${order[0]}${round}${key}`, {
            concurrencyKey: key,
            idempotencyKey: `${key}${round}`,
          }),
        ),
      )
    for (let round = 0; round < 20; round++) {
      await Promise.all([batch(first, round, keys), batch(second, round, keys.toReversed())])
    }
    expect(errors).toEqual([])
    expect(await claim(first)).toHaveLength(keys.length)
  })
})

describe('a worker whose lease ran out', () => {
  const dead = { workerId: 'dead', leaseMs: 0 }

  test('loses its runs to one of two that reclaim', async () => {
    const { held, first, second } = await openTwo()
    await enqueue(first, [newRun('a'), newRun('b')])
    await claim(first, dead)
    const transaction = held.hold()
    const reclaiming = reclaim(first, { workerId: 'one' }, START)
    await transaction.reached
    expect(await reclaim(second, { workerId: 'two' }, START)).toEqual({ claimed: [], others: [] })
    transaction.commit()
    expect(idsOf((await reclaiming).claimed)).toEqual(['a', 'b'])
    expect(await second.leases('two')).toEqual([])
  })

  test('learns by its renewal that they are being reclaimed', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    await first.renew({ workerId: 'worker', leaseMs: 0 }, START)
    const transaction = held.hold()
    const reclaiming = reclaim(first, { workerId: 'one' }, START)
    await transaction.reached
    const renewing = second.renew({ workerId: 'worker', leaseMs: 60_000 }, START)
    await schema.untilBlocked()
    transaction.commit()
    expect(idsOf((await reclaiming).claimed)).toEqual(['a'])
    expect(await renewing).toEqual([])
    expect(await commit(second, commitOf(claimed, [stepDone(2)]))).toBe('lost')
  })

  test('keeps them when it comes back first', async () => {
    const { held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    await first.renew({ workerId: 'worker', leaseMs: 0 }, START)
    await enqueue(first, [newRun('b')])
    const transaction = held.hold()
    const returning = claimInTransaction(first)
    await transaction.reached
    expect(await reclaim(second, {}, START)).toEqual({ claimed: [], others: [] })
    transaction.commit()
    const another = only(await returning)
    expect(await reclaim(second, {}, START)).toEqual({ claimed: [], others: [] })
    expect(await second.leases('worker')).toEqual([claimed, another].map(({ run }) => heldOf(run)))
  })

  test('keeps what it claims as it makes it when it comes back first', async () => {
    const { held, first, second } = await openTwo()
    const before = await startRun(first, 'a')
    await first.renew({ workerId: 'worker', leaseMs: 0 }, START)
    const transaction = held.hold()
    const making = first.write(makeAndClaim('b', LABELED), START)
    await transaction.reached
    expect(await reclaim(second, {}, START)).toEqual({ claimed: [], others: [] })
    transaction.commit()
    const made = only((await making).claimed)
    expect(await reclaim(second, {}, START)).toEqual({ claimed: [], others: [] })
    expect(await second.leases('worker')).toEqual([before, made].map(({ run }) => heldOf(run)))
  })

  test('has a lease on what it claims as it makes it while they are being reclaimed', async () => {
    const { schema, held, first, second } = await openTwo()
    await startRun(first, 'a')
    await first.renew({ workerId: 'worker', leaseMs: 0 }, START)
    const transaction = held.hold()
    const reclaiming = reclaim(first, { workerId: 'one' }, START)
    await transaction.reached
    const making = second.write(makeAndClaim('b'), START)
    await schema.untilBlocked()
    transaction.commit()
    expect(idsOf((await reclaiming).claimed)).toEqual(['a'])
    const made = only((await making).claimed)
    expect(await reclaim(first, {}, START)).toEqual({ claimed: [], others: [] })
    expect(await second.leases('worker')).toEqual([heldOf(made.run)])
  })

  test('and its reclaim, each holding what the other wants, come to an end', async () => {
    const schema = await openSchema()
    const reached = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const held = intercept(schema.pool(), async (text, send) => {
      const result = await send()
      if (/"durably_workers".*skip locked$/.test(text)) {
        reached.resolve()
        await goOn.promise
      }
      return result
    })
    const [returning, rescuer] = [await schema.store(), await schema.store(held)]
    const claimed = await startRun(returning, 'a')
    await enqueue(returning, [newRun('b')])
    await returning.renew({ workerId: 'worker', leaseMs: 0 }, START)
    const reclaiming = reclaim(rescuer, { workerId: 'one' }, START)
    await reached.promise
    const batch = { commits: [ending(claimed, 'complete')], runs: [], sends: [] }
    const writing = returning.write({ ...batch, claim: claimRequest() }, START)
    await schema.untilBlocked()
    goOn.resolve()
    const [answer] = (await writing).commits
    const taken = idsOf((await reclaiming).claimed)
    expect([answer, taken]).toEqual(taken.length === 0 ? ['committed', []] : ['lost', ['a']])
  })

  test('is refused the step that met the reclaim', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    await first.renew({ workerId: 'worker', leaseMs: 0 }, START)
    const transaction = held.hold()
    const reclaiming = reclaim(first, { workerId: 'one' }, START)
    await transaction.reached
    const stepping = commit(second, commitOf(claimed, [stepDone(2)]))
    await schema.untilBlocked()
    transaction.commit()
    await reclaiming
    expect(await stepping).toBe('lost')
    expect(await kindsOf(second, 'a')).toEqual(['run:trigger', 'run:start', 'run:start'])
  })
})

describe('coalescing', () => {
  test('with a run that is being claimed makes one of its own', async () => {
    const { schema, held, first, second } = await openTwo()
    await enqueue(first, [newRun('a', KEY)])
    const transaction = held.hold()
    const claiming = claimInTransaction(first)
    await transaction.reached
    const coalescing = enqueue(second, [newRun('b', { ...KEY, coalesce: true })])
    await schema.untilBlocked()
    transaction.commit()
    await claiming
    expect(await coalescing).toMatchObject([{ disposition: 'created', run: { id: 'b' } }])
  })

  test('holds back the claim of the run that it is taken in by', async () => {
    const { held, first, second } = await openTwo()
    await enqueue(first, [newRun('a', KEY)])
    const transaction = held.hold()
    const coalescing = enqueue(first, [newRun('b', { ...KEY, coalesce: true })])
    await transaction.reached
    expect(await claim(second)).toEqual([])
    transaction.commit()
    expect(await coalescing).toMatchObject([{ disposition: 'coalesced', run: { id: 'a' } }])
    expect(idsOf(await claim(second))).toEqual(['a'])
    expect(await kindsOf(second, 'a')).toEqual(['run:trigger', 'run:coalesced', 'run:start'])
  })
})

describe('promotion', () => {
  const LATER = START + 1000

  test('of a run that is being cancelled changes nothing', async () => {
    const { schema, held, first, second } = await openTwo()
    await enqueue(first, [newRun('a', { dueAt: LATER }), newRun('b', { dueAt: LATER })])
    const transaction = held.hold()
    const cancelling = act(first, 'cancel', 'a')
    await transaction.reached
    const promoting = second.promote(10, LATER)
    await schema.untilBlocked()
    transaction.commit()
    await cancelling
    await promoting
    expect((await existing(second, 'a')).status).toBe('cancelled')
    expect(idsOf(await claim(second, {}, LATER))).toEqual(['b'])
  })

  test('by two at once announces an expired run once', async () => {
    const { schema, held, first, second } = await openTwo()
    await enqueue(first, [newRun('a', { expireAt: LATER, ...KEY }), newRun('b', KEY)])
    const transaction = held.hold()
    const promoting = first.promote(10, LATER)
    await transaction.reached
    const again = second.promote(10, LATER)
    await schema.untilBlocked()
    transaction.commit()
    expect(idsOf(await promoting)).toEqual(['a'])
    expect(await again).toEqual([])
    expect(idsOf(await claim(second, {}, LATER))).toEqual(['b'])
  })
})

test('a trigger that is sent again waits for the deletion of its run that is about to commit', async () => {
  const { schema, held, first, second } = await openTwo()
  await enqueue(second, [newRun('a')])
  await act(second, 'cancel', 'a')
  const transaction = held.hold()
  const deleting = act(first, 'delete', 'a')
  await transaction.reached
  const again = enqueue(second, [newRun('a', { isSentAgain: true })])
  await schema.untilBlocked()
  transaction.commit()
  expect(await deleting).toMatchObject({ done: true })
  expect(only(await again)).toMatchObject({ disposition: 'created', entry: null })
  expect(await second.run('a')).toBeNull()
})

test('processes that migrate at once wait for each other', async () => {
  const schema = await openSchema()
  const stores = await Promise.all(Array.from({ length: 6 }, () => schema.store(schema.pool(1))))
  await enqueue(stores[0] as Store, [newRun('a')])
  expect(await stores[5]?.run('a')).toMatchObject({ id: 'a' })
})

test('leases go by the clock of the database, whatever the time is here', async () => {
  const { first, second } = await openTwo()
  const hour = 3_600_000
  await enqueue(first, [newRun('a')], START)
  const claimed = only(await claim(first, { workerId: 'behind' }, START))
  expect((await second.look([JOB], START + hour)).orphans).toBe(false)
  expect(await reclaim(second, { workerId: 'ahead' }, START + hour)).toMatchObject({ claimed: [] })
  await first.renew({ workerId: 'behind', leaseMs: 0 }, START - hour)
  expect((await second.look([JOB], START - hour)).orphans).toBe(true)
  const taken = await reclaim(second, { workerId: 'ahead' }, START - hour)
  expect(idsOf(taken.claimed)).toEqual(['a'])
  expect(await commit(first, commitOf(claimed, [stepDone(2)]))).toBe('lost')
})

describe('retire', () => {
  test('leaves the row of a worker whose claim is under way, so that its runs are found', async () => {
    const schema = await openSchema()
    const held = createHeldPool(schema.pool())
    const first = await schema.store(held.pool)
    const [deleting, mayDelete] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const second = await schema.store(
      intercept(schema.pool(), async (text, send) => {
        if (text.trim().startsWith('delete')) {
          deleting.resolve()
          await mayDelete.promise
        }
        return send()
      }),
    )
    const worker = { workerId: 'name 1' }
    await first.renew({ ...worker, leaseMs: 60_000 }, START)
    await enqueue(first, [newRun('a')])
    const retired = second.retire('name', [])
    await deleting.promise
    const transaction = held.hold()
    const claiming = claimInTransaction(first, worker)
    await transaction.reached
    mayDelete.resolve()
    await schema.untilBlocked()
    transaction.commit()
    expect(idsOf(await claiming)).toEqual(['a'])
    await retired
    await second.retire('name', [])
    expect(idsOf((await reclaim(second, {}, START)).claimed)).toEqual(['a'])
  })
})
