import { z } from 'zod'
import type { JobDefinition } from '../../src/core/job.ts'
import type { StepContext } from '../../src/core/step-context.ts'
import { defineJob } from '../../src/index.ts'
import type { JobPlan, Part } from './plan.ts'

/** What jobs did, seen from outside the engine. */
export interface Witness {
  /** A step's function began. */
  executes(run: string, attempt: number, step: string): void
  /** A call of a step settled in the job's code. */
  settles(run: string, attempt: number, execution: number, what: string): void
  /** How often the step was executed, by whomever. */
  executions(run: string, step: string): number
  newExecution(): number
  /** The database refuses what this step returns. */
  refuses(run: string, step: string): void
}

/** A value that the database never takes. */
export const REFUSED = 'what the database refuses'

/** A generated job, in one process. `sleep` passes virtual time of that process. */
export function createJob(
  plan: JobPlan,
  witness: Witness,
  sleep: (ms: number) => Promise<void>,
): JobDefinition {
  return defineJob({
    name: plan.name,
    input: z.object({}),
    run: async (step) => {
      const act = createAct(step, witness, sleep)
      const results: string[] = []
      for (const part of plan.parts) results.push(await act.part(part))
      return results.join(' ')
    },
  })
}

function createAct(step: StepContext, witness: Witness, sleep: (ms: number) => Promise<void>) {
  const { runId: run, attempt } = step
  const execution = witness.newExecution()

  async function call(name: string, work: () => Promise<string> | string): Promise<string> {
    const outcome = step.run(name, async () => {
      witness.executes(run, attempt, name)
      return work()
    })
    try {
      const value = await outcome
      witness.settles(run, attempt, execution, `${name}=${value}`)
      return value
    } catch (error) {
      const text = `${name}!${(error as Error).name}:${(error as Error).message}`
      if ((error as Error).name !== 'CancelledError') witness.settles(run, attempt, execution, text)
      throw error
    }
  }

  async function plain(name: string, ms: number): Promise<string> {
    return call(name, async () => {
      if (ms > 0) await sleep(ms)
      return `${name}-done`
    })
  }

  /** Its first executions fail; which ones does not depend on who executes them. */
  async function flaky(name: string, times: number): Promise<string> {
    return call(name, () => {
      if (witness.executions(run, name) <= times) throw new TypeError(`${name} fails`)
      return `${name}-done`
    })
  }

  async function refused(name: string): Promise<string> {
    witness.refuses(run, name)
    return call(name, () => REFUSED).catch(() => plain(`${name}-after`, 0))
  }

  async function part(of: Part): Promise<string> {
    switch (of.kind) {
      case 'refused':
        return refused(of.name)
      case 'step':
        return plain(of.name, of.ms)
      case 'nested':
        return (async () => {
          const inner = await plain(`${of.name}-outer`, of.ms)
          return `${inner}+${await plain(`${of.name}-inner`, 0)}`
        })()
      case 'caught':
        return flaky(of.name, 99).catch((error: Error) =>
          plain(`${of.name}-after ${error.message}`, of.ms),
        )
      case 'fails':
        return flaky(of.name, of.times)
      case 'all':
        return (await Promise.all(of.names.map((name, i) => plain(name, of.ms * i)))).join('&')
      case 'race': {
        const winner = await Promise.race(of.names.map((name, i) => plain(name, of.ms * (2 - i))))
        return plain(`after ${winner}`, 0)
      }
      case 'many': {
        for (let i = 0; i < of.count; i++) await plain(`${of.name}-${i}`, 0)
        return of.name
      }
    }
  }

  return { part }
}
