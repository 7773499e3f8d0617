import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Duration } from './duration.ts'
import { requirePeriod } from './parse-duration.ts'
import { ValidationError } from './error.ts'
import { requireKnown, requireObject, type Names } from './require-object.ts'
import { requireText } from './require-text.ts'
import { readRetry, type Retry } from './retry.ts'
import { requireSchema } from './schema.ts'
import type { Signals, StepContext } from './step-context.ts'

/** A job: a name, its input and output, and the function that does the work. */
export interface JobDefinition<
  TName extends string = string,
  TInput extends StandardSchemaV1 = StandardSchemaV1,
  TOutput = unknown,
  TSignals extends Signals = Signals,
  TReturned = TOutput,
> extends JobLimits {
  readonly name: TName
  readonly input: TInput
  /** A schema that turns what `run` returns into the output. Without it, the output is what `run` returns. */
  readonly output?: StandardSchemaV1<TReturned, TOutput> | undefined
  /** The signals that runs of this job take, and schemas that check their data when they are sent. Default: any. */
  readonly signals?: TSignals | undefined
  run(
    step: StepContext<TSignals>,
    payload: StandardSchemaV1.InferOutput<TInput>,
  ): Promise<TReturned> | TReturned
}

/** Retries and time limits of a job's steps and runs. */
interface JobLimits {
  /** For steps that do not set their own. Default: a failed step is not tried again. */
  readonly retry?: Retry | undefined
  /** How long one attempt of a step may take, unless the step sets its own timeout. Default: no limit. */
  readonly timeout?: Duration | undefined
  /**
   * How long a run may take, including waits, from its first start after it was triggered or last retried. After that,
   * it fails with a `TimeoutError`.
   */
  readonly maxDuration?: Duration | undefined
}

/** What a caller passes to trigger the job, given its definition or its handle. */
export type JobInput<J> =
  J extends JobDefinition<string, infer I>
    ? StandardSchemaV1.InferInput<I>
    : J extends { trigger(input: infer I, ...options: never): unknown }
      ? I
      : never

/** What the job's `run` receives: the input after its schema parsed it. */
export type JobPayload<J> =
  J extends JobDefinition<string, infer I>
    ? StandardSchemaV1.InferOutput<I>
    : J extends { getRun(runId: string): Promise<{ readonly payload: infer P } | null> }
      ? P
      : never

/** The job's output: what `run` returns, parsed by the `output` schema if there is one. */
export type JobOutput<J> =
  J extends JobDefinition<string, StandardSchemaV1, infer O, Signals, unknown>
    ? O
    : J extends { triggerAndWait(...call: never): Promise<{ readonly output: infer O }> }
      ? O
      : never

/** The data of a signal of this name: what the jobs that declare it accept; if none does, anything. */
export type SignalInput<TJobs, TName extends string> =
  TJobs extends Readonly<Record<string, JobDefinition>>
    ? OrUnknown<InputIn<DeclaredSignals<TJobs[keyof TJobs]>, TName>>
    : unknown

type OrUnknown<T> = [T] extends [never] ? unknown : T

type DeclaredSignals<J> =
  J extends JobDefinition<string, StandardSchemaV1, unknown, infer S, unknown>
    ? string extends keyof S
      ? never
      : S
    : never

type InputIn<S, TName extends string> =
  S extends Readonly<Record<TName, StandardSchemaV1>>
    ? StandardSchemaV1.InferInput<S[TName]>
    : never

/**
 * Defines a job. Throws `ValidationError` if a part is missing or invalid.
 *
 * @example
 * const importCsv = defineJob({
 *   name: 'import-csv',
 *   input: z.object({ url: z.string() }),
 *   run: async (step, { url }) => {
 *     const rows = await step.run('download', () => download(url))
 *     await step.run('insert', () => insertAll(rows))
 *     return { count: rows.length }
 *   },
 * })
 */
export function defineJob<
  const TName extends string,
  TInput extends StandardSchemaV1,
  TReturned = void,
  TSignals extends Signals = Signals,
  TOutput = TReturned,
>(
  definition: JobLimits & {
    readonly name: TName
    readonly input: TInput
    readonly output?: StandardSchemaV1<TReturned, TOutput> | undefined
    readonly signals?: TSignals | undefined
    readonly run: (
      step: StepContext<TSignals>,
      payload: StandardSchemaV1.InferOutput<TInput>,
    ) => Promise<TReturned> | TReturned
  },
): JobDefinition<TName, TInput, TOutput, TSignals, TReturned> {
  requireObject(definition, 'job definition')
  requireParts(definition)
  requireKnown(definition, knownParts, `job "${definition.name}": `)
  return Object.freeze({ ...definition })
}

const knownParts: Names<JobDefinition> = {
  name: true,
  input: true,
  output: true,
  signals: true,
  run: true,
  retry: true,
  timeout: true,
  maxDuration: true,
}

/** Throws `ValidationError`, which begins with `what`, unless `value` has the parts of a job. */
export function requireJob(value: unknown, what: string): asserts value is JobDefinition {
  const { name, run } = (value ?? {}) as Partial<JobDefinition>
  if (typeof name !== 'string' || typeof run !== 'function') {
    throw new ValidationError(`${what} is not a job; make it with defineJob`)
  }
  requireParts(value as JobDefinition)
}

function requireParts({ name, input, output, signals, run, ...limits }: JobDefinition): void {
  requireText(name, 'job name')
  requireSchema(input, `input of job "${name}"`)
  if (output !== undefined) requireSchema(output, `output of job "${name}"`)
  if (signals !== undefined) requireSignals(signals, name)
  const { retry, timeout, maxDuration } = limits
  readRetry(retry, `retry of job "${name}"`)
  if (timeout !== undefined) requirePeriod(timeout, `timeout of job "${name}"`)
  if (maxDuration !== undefined) requirePeriod(maxDuration, `maxDuration of job "${name}"`)
  if (typeof run === 'function') return
  throw new ValidationError(`run of job "${name}" must be a function; got ${typeof run}`)
}

function requireSignals(signals: Signals, jobName: string): void {
  requireObject(signals, `signals of job "${jobName}"`)
  for (const [name, schema] of Object.entries(signals)) {
    requireText(name, `signal name of job "${jobName}"`)
    requireSchema(schema, `signal "${name}" of job "${jobName}"`)
  }
}
