import { ValidationError } from '../core/error.ts'
import type { JobDefinition } from '../core/job.ts'
import { show } from '../core/show.ts'
import type { JobAttendance } from './attended-job.ts'

/** Replaces what a step's function does. */
export interface StepOverride {
  /** The step has this output, except in attempts that are set to fail. Its function is not called. */
  returns(output: unknown): void
  /**
   * The step fails; its function is not called. With `attempt`, only its nth execution in a run fails, counted from 1
   * and over retries of the run. Throws `ValidationError` if `attempt` is not a whole number from 1.
   */
  fails(error: Error | string, on?: { readonly attempt: number }): void
  /** The step's own function is called again. */
  restore(): void
}

/** Steps that do something else than their functions. */
export interface Overrides extends Required<Omit<JobAttendance, 'attend'>> {
  of(job: JobDefinition, step: string): StepOverride
  /**
   * Throws `ValidationError`, once, for steps that are not there: their job has come to its end, none of its runs
   * called them, and its code does not name them either, as that of a branch that was not taken would.
   */
  check(): void
}

interface Rules {
  readonly job: JobDefinition
  readonly step: string
  output: { readonly value: unknown } | null
  error: Error | null
  readonly errorOf: Map<number, Error>
}

const SHOWN_NAMES = 10

export function createOverrides(): Overrides {
  const rules = new Map<string, Rules>()
  const executions = new Map<string, number>()
  /** The names of the steps that each job called. */
  const called = new Map<string, Set<string>>()
  const ended = new Set<string>()
  const isThere = (rule: Rules): boolean =>
    called.get(rule.job.name)?.has(rule.step) === true || isNamed(rule)
  return {
    of: (job, step) => override(rules, job, step),
    onStep(jobName, step) {
      const names = called.get(jobName) ?? new Set()
      called.set(jobName, names.add(step))
    },
    onEnd: (jobName) => void ended.add(jobName),
    check() {
      const wrong = [...rules.values()].filter((one) => ended.has(one.job.name) && !isThere(one))
      rules.clear()
      const [first] = wrong
      if (first === undefined) return
      throw noSuchStep(first, called.get(first.job.name) ?? new Set())
    },
    async perform({ jobName, runId, name, execute }) {
      const execution = keyOf(runId, name)
      const attempt = (executions.get(execution) ?? 0) + 1
      executions.set(execution, attempt)
      const rule = rules.get(keyOf(jobName, name))
      const failure = rule?.errorOf.get(attempt) ?? rule?.error ?? null
      if (failure !== null) throw failure
      const output = rule?.output ?? null
      return output === null ? execute() : output.value
    },
  }
}

function override(rules: Map<string, Rules>, job: JobDefinition, step: string): StepOverride {
  const key = keyOf(job.name, step)
  const change = (): Rules => {
    const current = rules.get(key) ?? { job, step, output: null, error: null, errorOf: new Map() }
    rules.set(key, current)
    return current
  }
  return {
    returns(value) {
      Object.assign(change(), { output: { value }, error: null })
    },
    fails(thrown, on) {
      const error = typeof thrown === 'string' ? new Error(thrown) : thrown
      if (on === undefined) change().error = error
      else change().errorOf.set(requireAttempt(on.attempt), error)
    },
    restore: () => void rules.delete(key),
  }
}

/** Whether the name stands in the code of the job. */
function isNamed({ job, step }: Rules): boolean {
  const code = String(job.run)
  return ["'", '"', '`'].some((quote) => code.includes(`${quote}${step}${quote}`))
}

function noSuchStep({ job, step }: Rules, called: ReadonlySet<string>): ValidationError {
  const names = [...called].slice(0, SHOWN_NAMES).map(show)
  if (called.size > SHOWN_NAMES) names.push('…')
  return new ValidationError(
    `t.step: job "${job.name}" called no step ${show(step)}; its steps were ${names.join(', ') || 'none'}. Where it was not to be called, take it back with restore()`,
  )
}

function requireAttempt(attempt: number): number {
  if (Number.isSafeInteger(attempt) && attempt >= 1) return attempt
  throw new ValidationError(`attempt must be a whole number from 1; got ${String(attempt)}`)
}

function keyOf(owner: string, step: string): string {
  return JSON.stringify([owner, step])
}
