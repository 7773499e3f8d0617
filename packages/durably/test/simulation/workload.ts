import { z } from 'zod'
import type { JobDefinition } from '../../src/core/job.ts'
import type { StepContext } from '../../src/core/step-context.ts'
import { defineJob, wait, type Branches } from '../../src/index.ts'
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
  /** The run has made a token. */
  hands(run: string, token: string): void
  /** A run that there is, or was, and that can end though this one waits for it; if there is none, itself. */
  anyRun(run: string): string
}

/** A value that the database never takes. */
export const REFUSED = 'what the database refuses'

/** What a job can do in its process. */
export interface Surroundings {
  /** Passes virtual time of the process. */
  sleep(ms: number): Promise<void>
  /** Has someone send the run this signal, after so long. */
  sendSoon(run: string, data: string, ms: number): void
}

/** A generated job, in one process. */
export function createJob(
  plan: JobPlan,
  witness: Witness,
  surroundings: Surroundings,
): JobDefinition {
  return defineJob({
    name: plan.name,
    input: z.object({}),
    maxDuration: plan.maxDuration,
    run: async (step) => {
      const act = createAct(step, witness, surroundings)
      const results: string[] = []
      for (const part of plan.parts) results.push(await act.part(part))
      return results.join(' ')
    },
  })
}

function createAct(step: StepContext, witness: Witness, { sleep, sendSoon }: Surroundings) {
  const { runId: run, attempt } = step
  const execution = witness.newExecution()

  async function call(name: string, work: () => Promise<string> | string): Promise<string> {
    return observe(
      name,
      step.run(name, async () => {
        witness.executes(run, attempt, name)
        return work()
      }),
    )
  }

  async function observe(name: string, outcome: Promise<string>): Promise<string> {
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

  async function plain(
    name: string,
    ms: number,
    result = (): string => `${name}-done`,
  ): Promise<string> {
    return call(name, async () => {
      if (ms > 0) await sleep(ms)
      return result()
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

  /** What a wait came to, as text. */
  async function any(name: string, branches: Branches): Promise<string> {
    const first = step.waitAny(name, branches)
    return observe(
      name,
      first.then(({ key, value }) => `${key}:${JSON.stringify(value)}`),
    )
  }

  /** Who waits for a run at two places hears of its end at both. */
  async function twice(name: string, other: string, ms: number): Promise<string> {
    const run = wait.run(other)
    const second = any(`${name}-too`, { run })
    second.catch(() => {})
    const first = await any(name, { run, late: wait.for(ms) })
    return first.startsWith('run:') ? `${first}&${await second}` : first
  }

  async function slept(name: string, ms: number): Promise<string> {
    return observe(
      name,
      step.sleep(name, ms).then(() => 'slept'),
    )
  }

  async function retried(name: string, times: number, ms: number): Promise<string> {
    const outcome = step.run(
      name,
      () => {
        witness.executes(run, attempt, name)
        if (witness.executions(run, name) <= times) throw new TypeError(`${name} fails`)
        return `${name}-done`
      },
      { retry: { attempts: 99, delay: ms, factor: 1 } },
    )
    return observe(name, outcome)
  }

  /** What is late is dropped, and the step tried again. */
  async function late(name: string, times: number, ms: number): Promise<string> {
    const outcome = step.run(
      name,
      async () => {
        witness.executes(run, attempt, name)
        if (witness.executions(run, name) <= times) await sleep(2 * ms)
        return `${name}-done`
      },
      { timeout: ms, retry: { attempts: 99, delay: 0 } },
    )
    return observe(name, outcome)
  }

  async function chunks(name: string, count: number): Promise<string> {
    const outcome = step.run(name, async (_, { stream }) => {
      witness.executes(run, attempt, name)
      const writer = stream<number>('chunks').getWriter()
      for (let i = 0; i < count; i++) await writer.write(i)
      await writer.close()
      return `${name}-done`
    })
    return observe(name, outcome)
  }

  async function tokened(name: string, ms: number | null): Promise<string> {
    const options = ms === null ? {} : { timeout: ms }
    const token = await step.token(`${name}-token`, options)
    witness.hands(run, token)
    return observe(
      name,
      step.waitForToken(name, token).then((value) => JSON.stringify(value)),
    )
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
      case 'sleep':
        return slept(of.name, of.ms)
      case 'signal':
        if (of.soon !== null) sendSoon(run, `sent-${of.name}`, of.soon)
        return any(of.name, {
          go: wait.signal('go'),
          ...(of.ms === null ? {} : { late: wait.for(of.ms) }),
        })
      case 'token':
        return tokened(of.name, of.ms)
      case 'any':
        return any(of.name, {
          go: wait.signal('go'),
          stop: wait.signal('stop'),
          late: wait.for(of.ms),
        })
      case 'mixed': {
        const winner = await Promise.race([
          plain(`${of.name}-step`, of.ms),
          slept(`${of.name}-sleep`, of.ms),
          any(`${of.name}-any`, { stop: wait.signal('stop'), late: wait.for(of.ms * 2) }),
        ])
        return plain(`${of.name}-after ${winner}`, 0)
      }
      case 'late':
        return late(of.name, of.times, of.ms)
      case 'chunks':
        return chunks(of.name, of.count)
      case 'retry':
        return retried(of.name, of.times, of.ms)
      case 'woven':
        return woven(of)
      case 'run': {
        const other = await plain(`${of.name}-pick`, 0, () => witness.anyRun(run))
        return twice(of.name, other, of.ms).catch(() => 'gone')
      }
    }
  }

  async function woven({ how, parts }: Extract<Part, { kind: 'woven' }>): Promise<string> {
    switch (how) {
      case 'series': {
        const results: string[] = []
        for (const one of parts) results.push(await part(one))
        return results.join(' ')
      }
      case 'all':
        return (await Promise.all(parts.map(part))).join('&')
      case 'race':
        return Promise.race(parts.map(part))
      case 'settled':
        return (await Promise.allSettled(parts.map(part))).map(({ status }) => status).join(' ')
    }
  }

  return { part }
}
