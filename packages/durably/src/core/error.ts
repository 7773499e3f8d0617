import type { Duration } from './duration.ts'

/** Stable codes for what went wrong. Programs match on these; messages are for people. */
export type ErrorCode =
  | 'validation'
  | 'not-found'
  | 'conflict'
  | 'cancelled'
  | 'lease-lost'
  | 'timeout'
  | 'run-failed'
  | 'duplicate-step'
  | 'serialization'
  | 'non-retryable'
  | 'retry-after'
  | 'store'
  | 'closed'
  | 'unreadable'
  // Over HTTP only.
  | 'unauthenticated'
  | 'forbidden'
  | 'method-not-allowed'
  | 'too-large'
  | 'unavailable'
  | 'misdirected'
  | 'internal'

/** The base class of every error that Durably throws. */
export class DurablyError extends Error {
  override readonly name: string = 'DurablyError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** One thing that a schema found wrong with a value. */
export interface Issue {
  readonly message: string
  readonly path?: readonly (string | number)[]
}

/**
 * An argument, option, input or output is invalid. For the first three, nothing was written. An invalid output fails
 * the run, and invalid data that was sent to a wait is used up.
 */
export class ValidationError extends DurablyError {
  override readonly name = 'ValidationError'
  readonly issues: readonly Issue[]

  constructor(message: string, issues: readonly Issue[] = []) {
    super('validation', message)
    this.issues = issues
  }
}

/** There is no such run, token or job. */
export class NotFoundError extends DurablyError {
  override readonly name = 'NotFoundError'

  constructor(message: string) {
    super('not-found', message)
  }
}

/** The run is not in a state that allows this. */
export class ConflictError extends DurablyError {
  override readonly name = 'ConflictError'

  constructor(message: string) {
    super('conflict', message)
  }
}

/** The run was cancelled. */
export class CancelledError extends DurablyError {
  override readonly name = 'CancelledError'

  constructor(message: string) {
    super('cancelled', message)
  }
}

/** Another worker has or may have this run, or this one handed it back. Seen only as an `AbortSignal`'s reason. */
export class LeaseLostError extends DurablyError {
  override readonly name = 'LeaseLostError'

  constructor(message: string) {
    super('lease-lost', message)
  }
}

/**
 * Waiting took longer than you allowed, while what you waited for goes on; or a step's attempt, or a run, took longer
 * than its `timeout` or `maxDuration`.
 */
export class TimeoutError extends DurablyError {
  override readonly name = 'TimeoutError'

  constructor(message: string) {
    super('timeout', message)
  }
}

/** The run that you waited for failed; `detail` and `cause` say why. */
export class RunFailedError extends DurablyError {
  override readonly name = 'RunFailedError'
  readonly runId: string
  readonly detail: ErrorDetail

  constructor(runId: string, detail: ErrorDetail) {
    super('run-failed', detail.message, { cause: restoreError(detail) })
    this.runId = runId
    this.detail = detail
  }
}

/** A step name was used twice in one execution of a run. */
export class DuplicateStepError extends DurablyError {
  override readonly name = 'DuplicateStepError'

  constructor(message: string) {
    super('duplicate-step', message)
  }
}

/** A value cannot be stored; the message names the place in it. */
export class SerializationError extends DurablyError {
  override readonly name = 'SerializationError'

  constructor(message: string) {
    super('serialization', message)
  }
}

/** Throw it in a step's function: the step fails at once, whatever its `retry` says. */
export class NonRetryableError extends DurablyError {
  override readonly name = 'NonRetryableError'

  constructor(message: string, options?: ErrorOptions) {
    super('non-retryable', message, options)
  }
}

/**
 * Throw it in a step's function: the next attempt, if `retry` allows one, comes after this delay instead of the one
 * that `retry` sets.
 *
 * @example
 * if (response.status === 429) throw new RetryAfterError('30s', 'The API is busy')
 */
export class RetryAfterError extends DurablyError {
  override readonly name = 'RetryAfterError'
  readonly delay: Duration

  constructor(delay: Duration, message?: string, options?: ErrorOptions) {
    super('retry-after', message ?? `To be tried again after ${delay}`, options)
    this.delay = delay
  }
}

/** Whether it was made by this class; not if it does not let itself be looked at. */
export function isMadeBy<T>(
  thrown: unknown,
  type: abstract new (...args: never[]) => T,
): thrown is T {
  try {
    return thrown instanceof type
  } catch {
    return false
  }
}

/** An error in its stored form: what is left of it when the process that threw it is gone. */
export interface ErrorDetail {
  readonly name: string
  readonly message: string
  readonly stack?: string
  /** The error's `code`, if it had one (`'ECONNRESET'`, `'conflict'`). */
  readonly code?: string | number
  readonly cause?: ErrorDetail
  /** For a `ValidationError`. */
  readonly issues?: readonly Issue[]
  /** For a `RunFailedError`: its run, whose error is the `cause`, and the step of that run that the error came from. */
  readonly runId?: string
  readonly failedStep?: string
  /** For a `RetryAfterError`. */
  readonly delay?: Duration
  /** For an `AggregateError`: the first of its errors, without their causes. */
  readonly errors?: readonly ErrorDetail[]
  /** The step that the error came from; absent when the job itself threw. */
  readonly step?: string
  /** For a wait for several things: the branch that ended it, and whose value could not be taken. */
  readonly branch?: string
}

/** Whether it is what is stored of an error. */
export function isErrorDetail(value: unknown): value is ErrorDetail {
  const { name, message } = (value ?? {}) as Partial<ErrorDetail>
  return typeof name === 'string' && typeof message === 'string'
}

const languageErrors = [
  Error,
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  EvalError,
  URIError,
  AggregateError,
]

// By code: errors of an app, or of a library, may have these names too.
const durablyErrors: Readonly<Record<string | number, { name: string; prototype: object }>> = {
  validation: ValidationError,
  'not-found': NotFoundError,
  conflict: ConflictError,
  cancelled: CancelledError,
  'lease-lost': LeaseLostError,
  timeout: TimeoutError,
  'run-failed': RunFailedError,
  'duplicate-step': DuplicateStepError,
  serialization: SerializationError,
  'non-retryable': NonRetryableError,
  'retry-after': RetryAfterError,
} satisfies Partial<Record<ErrorCode, unknown>>

/** The class that a stored error comes back as. */
function classOf({ name, code }: ErrorDetail): { readonly prototype: object } | undefined {
  const type = code === undefined ? undefined : durablyErrors[code]
  return type?.name === name ? type : languageErrors.find((other) => other.name === name)
}

/** What errors of these classes have beside what every error has. */
function restoreOwn(detail: ErrorDetail, type: unknown): object {
  const { message, issues = [], runId, failedStep: step, delay, errors = [] } = detail
  if (type === ValidationError) return { issues }
  if (type === RetryAfterError) return { delay }
  if (type === AggregateError) return { errors: errors.map(restoreError) }
  if (type !== RunFailedError) return {}
  const { cause = { name: 'Error', message } } = detail
  return { runId, detail: step === undefined ? cause : { ...cause, step } }
}

/**
 * The stored error as an `Error` again: same name, message, stack and cause, and `instanceof` the language's
 * and Durably's own classes. Classes of the app are not rebuilt: match them by `name`.
 */
export function restoreError(detail: ErrorDetail): Error {
  const error = new Error(
    detail.message,
    detail.cause === undefined ? {} : { cause: restoreError(detail.cause) },
  )
  // Not enumerable, as those of every error.
  const own = { writable: true, configurable: true }
  const type = classOf(detail)
  if (type !== undefined) Object.setPrototypeOf(error, type.prototype)
  Object.defineProperties(error, {
    name: { ...own, value: detail.name },
    stack: { ...own, value: detail.stack ?? '' },
  })
  if (detail.code !== undefined) Object.assign(error, { code: detail.code })
  return Object.assign(error, restoreOwn(detail, type))
}
