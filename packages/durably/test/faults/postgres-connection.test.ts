import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/core/job.ts'
import { createDurably } from '../../src/durably.ts'
import { postgresDialect } from '../../src/postgres.ts'
import { openSchema } from '../store/postgres-schema.ts'
import { startProxy, type TcpProxy } from './tcp-proxy.ts'

const STEPS = 30
const OUTAGE_MS = 1500

const faults: [name: string, bring: (proxy: TcpProxy) => void, isSaid: boolean][] = [
  ['are cut', (proxy) => proxy.cut(), true],
  ['are closed by one side', (proxy) => proxy.halfClose(), true],
  ['stall', (proxy) => proxy.stall(), false],
]

test.each(faults)(
  'connections that %s cost time, and nothing else',
  async (_, bring, isSaid) => {
    const { durably, proxy, executions, errors } = await openWorker()
    const items = Array.from({ length: 10 }, () => ({}))
    const runs = await durably.jobs.stepper.batchTrigger(items)
    await expect.poll(() => executions.length).toBeGreaterThan(runs.length)

    const acceptedBefore = proxy.accepted()
    bring(proxy)
    const triggered = durably.jobs.stepper.trigger({})
    await delay(OUTAGE_MS)
    expect(proxy.accepted() - acceptedBefore).toBeLessThan(100)
    if (isSaid) expect(errors).not.toEqual([])
    proxy.heal()

    const all = [...runs, await triggered]
    const ends = all.map(({ id }) => durably.waitForRun(id, { timeout: '15s' }))
    expect((await Promise.all(ends)).map(({ output }) => output)).toEqual(all.map(() => STEPS))
    // No worker died: whatever was executed was stored in the end.
    expect(executions).toHaveLength(all.length * STEPS)
    expect(new Set(executions).size).toBe(executions.length)
  },
  40_000,
)

/** A worker that reaches its database through a proxy. */
async function openWorker() {
  const schema = await openSchema()
  const proxy = await startProxy(process.env.DURABLY_TEST_POSTGRES_URL ?? '')
  const options = `-c search_path=${schema.name}`
  const pool = new pg.Pool({ connectionString: proxy.url, options, max: 4 })
  const executions: string[] = []
  const stepper = defineJob({
    name: 'stepper',
    input: z.object({}),
    run: async (step) => {
      for (let i = 0; i < STEPS; i++) {
        await step.run(`step ${i}`, async () => {
          executions.push(`${step.runId} ${i}`)
          await delay(5)
        })
      }
      return STEPS
    },
  })
  const dialect = postgresDialect({ pool })
  const durably = createDurably({ dialect, jobs: { stepper }, maxConcurrentRuns: 5 })
  onTestFinished(async () => {
    proxy.heal()
    await durably.close()
    await pool.end()
  })
  const errors: string[] = []
  durably.on('worker:error', ({ error }) => void errors.push(error))
  await durably.init()
  return { durably, proxy, executions, errors }
}
