import { ValidationError } from '../core/error.ts'
import type { StepExecution } from './attended-job.ts'

/** What happens instead of a step's function. */
export interface StepOverride {
  /** The step has this output, but for attempts that are to fail; its function is not called. */
  returns(output: unknown): void
  /**
   * The step fails; its function is not called. With `attempt` only its nth execution in a run does, from 1,
   * counted over retries of the run. Throws `ValidationError` for an attempt that is not a whole number from 1.
   */
  fails(error: Error | string, on?: { readonly attempt: number }): void
  /** The step's own function is called again. */
  restore(): void
}

/** Steps that do something else than their functions. */
export interface Overrides {
  of(jobName: string, step: string): StepOverride
  perform(execution: StepExecution): Promise<unknown>
}

interface Rules {
  output: { readonly value: unknown } | null
  error: Error | null
  readonly errorOf: Map<number, Error>
}

export function createOverrides(): Overrides {
  const rules = new Map<string, Rules>()
  const executions = new Map<string, number>()
  return {
    of: (jobName, step) => override(rules, keyOf(jobName, step)),
    async perform({ jobName, runId, name, execute }) {
      const execution = keyOf(runId, name)
      const attempt = (executions.get(execution) ?? 0) + 1
      executions.set(execution, attempt)
      const { output, error, errorOf } = rules.get(keyOf(jobName, name)) ?? noRules()
      const failure = errorOf.get(attempt) ?? error
      if (failure !== null) throw failure
      return output === null ? execute() : output.value
    },
  }
}

function override(rules: Map<string, Rules>, key: string): StepOverride {
  const change = (): Rules => {
    const current = rules.get(key) ?? noRules()
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

function noRules(): Rules {
  return { output: null, error: null, errorOf: new Map() }
}

function requireAttempt(attempt: number): number {
  if (Number.isSafeInteger(attempt) && attempt >= 1) return attempt
  throw new ValidationError(`attempt must be a whole number from 1; got ${String(attempt)}`)
}

function keyOf(owner: string, step: string): string {
  return JSON.stringify([owner, step])
}
