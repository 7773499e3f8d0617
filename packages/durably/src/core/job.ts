import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ValidationError, type Issue } from './error.ts'
import type { LogLevel } from './journal.ts'
import { requireObject } from './require-object.ts'
import { show } from './show.ts'

/** Writes lines to the run's log. They become durable with the next step, or shortly after. */
export type StepLog = {
  readonly [L in LogLevel]: (message: string, data?: unknown) => void
}

/** What a step function is told about its execution. */
export interface StepInfo {
  /** Of this step: 1 the first time, one more for each attempt that failed before. */
  readonly attempt: number
  /** The same for every attempt of this step of this run: for APIs that drop repeated requests. */
  readonly idempotencyKey: string
  /** The run's log, bound to this step. */
  readonly log: StepLog
}

/** What a job is given to do its work with. */
export interface StepContext {
  readonly runId: string
  /** Of the run: 1, and one more for each worker that died under it and each retry. */
  readonly attempt: number
  /** Fires when the run is cancelled, its worker is stopped for good, or another worker has taken it. */
  readonly abortSignal: AbortSignal
  /**
   * Runs `fn` and stores what it returns; resolves once that is durable. On any later execution of the run the
   * stored value is returned and `fn` is not called. Names are unique within a run.
   *
   * Rejects with what `fn` threw (as a copy: same name, message, stack, cause), `DuplicateStepError`,
   * `SerializationError` when the result cannot be stored, and `CancelledError` once the run is cancelled.
   *
   * @example
   * const user = await step.run('load user', () => api.loadUser(payload.id))
   */
  run<T>(name: string, fn: (signal: AbortSignal, info: StepInfo) => T | Promise<T>): Promise<T>
  readonly log: StepLog
  /** Says how far the run is. The last value is always kept; those before it may be skipped. */
  progress(current: number, total?: number, message?: string): void
}

/** A job: a name, what goes in, what comes out, and the function that does it. */
export interface JobDefinition<
  TName extends string = string,
  TInput extends StandardSchemaV1 = StandardSchemaV1,
  TOutput = unknown,
> {
  readonly name: TName
  readonly input: TInput
  readonly output?: StandardSchemaV1<unknown, TOutput>
  run(step: StepContext, payload: StandardSchemaV1.InferOutput<TInput>): Promise<TOutput> | TOutput
}

/** What a caller passes to trigger the job. */
export type JobInput<J> =
  J extends JobDefinition<string, infer I> ? StandardSchemaV1.InferInput<I> : never

/** What the job is given: the input after its schema parsed it. */
export type JobPayload<J> =
  J extends JobDefinition<string, infer I> ? StandardSchemaV1.InferOutput<I> : never

/** What the job returns. */
export type JobOutput<J> = J extends JobDefinition<string, StandardSchemaV1, infer O> ? O : never

/**
 * Defines a job. Throws `ValidationError` when a part is missing.
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
  TOutput = void,
>(definition: {
  readonly name: TName
  readonly input: TInput
  readonly output?: StandardSchemaV1<unknown, TOutput>
  readonly run: (
    step: StepContext,
    payload: StandardSchemaV1.InferOutput<TInput>,
  ) => Promise<TOutput> | TOutput
}): JobDefinition<TName, TInput, TOutput> {
  requireObject(definition, 'job definition')
  requireParts(definition)
  return Object.freeze({ ...definition })
}

/** Throws `ValidationError`, which begins with `what`, unless `value` has the parts of a job. */
export function requireJob(value: unknown, what: string): asserts value is JobDefinition {
  const { name, run } = (value ?? {}) as Partial<JobDefinition>
  if (typeof name !== 'string' || typeof run !== 'function') {
    throw new ValidationError(`${what} is not a job; make it with defineJob`)
  }
  requireParts(value as JobDefinition)
}

function requireParts({ name, input, output, run }: JobDefinition): void {
  requireText(name, 'job name')
  requireSchema(input, `input of job "${name}"`)
  if (output !== undefined) requireSchema(output, `output of job "${name}"`)
  if (typeof run === 'function') return
  throw new ValidationError(`run of job "${name}" must be a function; got ${typeof run}`)
}

/** Throws `ValidationError` unless `value` is text the database can keep as a name or a key. */
export function requireText(value: unknown, what: string): asserts value is string {
  if (typeof value !== 'string') {
    throw new ValidationError(`${what} must be a string; got ${typeof value}`)
  }
  if (value === '') throw new ValidationError(`${what} must not be empty`)
  if (value.length > MAX_NAME) {
    throw new ValidationError(
      `${what} must be at most ${MAX_NAME} characters; got ${value.length}: ${show(value)}`,
    )
  }
  if (value.includes('\0') || !value.isWellFormed()) {
    throw new ValidationError(
      `${what} must not contain NUL or half a surrogate pair; got ${show(value)}`,
    )
  }
}

// Names and keys stand in indexes; PostgreSQL refuses index rows over 2,704 bytes.
const MAX_NAME = 512

/** Throws `ValidationError` unless `value` can check other values. */
export function requireSchema(value: unknown, what: string): void {
  const schema = value as Partial<StandardSchemaV1> | null | undefined
  if (typeof schema?.['~standard']?.validate === 'function') return
  throw new ValidationError(
    `${what} must be a schema that implements Standard Schema (zod 4, valibot, arktype, …)`,
  )
}

/** What the schema makes of `value`. Throws `ValidationError` that starts with `what`. */
export async function parseWith(
  schema: StandardSchemaV1,
  value: unknown,
  what: string,
): Promise<unknown> {
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  const issues = result.issues.map(toIssue)
  throw new ValidationError(`${what}: ${issues.map(showIssue).join('; ')}`, issues)
}

function toIssue({ message, path }: StandardSchemaV1.Issue): Issue {
  if (path === undefined || path.length === 0) return { message }
  // Some libraries have arrays of their own, whose `map` makes more of them.
  const keys = Array.from(path, (part) => (typeof part === 'object' ? part.key : part))
  return { message, path: keys.map((key) => (typeof key === 'number' ? key : String(key))) }
}

function showIssue({ message, path }: Issue): string {
  return path === undefined ? message : `${path.join('.')}: ${message}`
}
