import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/core/job.ts'
import { createDurably } from '../../src/durably.ts'
import { postgresDialect } from '../../src/postgres.ts'

const STEPS = 30
const RUNS = 10

/** A worker on PostgreSQL in the middle of its work. */
export interface LoadedWorker {
  /** What it said went wrong. */
  readonly errors: string[]
  trigger(): Promise<{ readonly id: string }>
  /** Throws unless its runs and `more` complete, and no step was executed twice. */
  expectAllDone(more: { readonly id: string }): Promise<void>
}

export async function startLoadedWorker(config: pg.PoolConfig): Promise<LoadedWorker> {
  const pool = new pg.Pool({ ...config, max: 4 })
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
    await durably.close()
    await pool.end()
  })
  const errors: string[] = []
  durably.on('worker:error', ({ error }) => void errors.push(error))
  await durably.init()
  const runs = await durably.jobs.stepper.batchTrigger(Array.from({ length: RUNS }, () => ({})))
  await expect.poll(() => executions.length).toBeGreaterThan(RUNS)
  return {
    errors,
    trigger: () => durably.jobs.stepper.trigger({}),
    async expectAllDone(more) {
      const ids = [...runs, more].map(({ id }) => id)
      const ends = ids.map((id) => durably.waitForRun(id, { timeout: '15s' }))
      expect((await Promise.all(ends)).map(({ output }) => output)).toEqual(ids.map(() => STEPS))
      // No worker died: whatever was executed was stored in the end.
      expect(executions).toHaveLength(ids.length * STEPS)
      expect(new Set(executions).size).toBe(executions.length)
    },
  }
}
