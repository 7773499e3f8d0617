import type { Duration } from './duration.ts'
import { parseDuration } from './parse-duration.ts'
import { isMadeBy, NonRetryableError, RetryAfterError, ValidationError } from './error.ts'
import { requireInteger } from './filter.ts'
import { requireKnown, requireObject, type Names } from './require-object.ts'
import { show } from './show.ts'

/** How often a failed step is tried again, and after which delays. */
export interface RetryPolicy {
  /** How many times the step is executed in all, including the first, 1 to 1,000,000. Default 3. */
  readonly attempts?: number | undefined
  /** The delay before the second attempt. Default one second. */
  readonly delay?: Duration | undefined
  /** Each delay is this many times the one before it, 1 to 1000. Default 2. */
  readonly factor?: number | undefined
  /** The longest that a delay may be. Default one hour. */
  readonly maxDelay?: Duration | undefined
  /** Up to this part of each delay, 0 to 1, is cut at random, so that many retries do not come at once. Default 0. */
  readonly jitter?: number | undefined
  /** Whether to try again after this error. Default: after every error. */
  readonly retryIf?: ((error: unknown) => boolean) | undefined
}

/**
 * A policy, or a function that is called after each failed attempt (the first one is 1) and returns the delay before
 * the next attempt, or `false` for no further attempt.
 */
export type Retry = RetryPolicy | ((attempt: number, error: unknown) => Duration | false)

/** Milliseconds until the next attempt, or null for none. Throws what a function of the app throws. */
export type NextDelay = (attempt: number, error: unknown, random: () => number) => number | null

const never: NextDelay = () => null

/** What the app's `retry` says. Throws `ValidationError` that names the part that is wrong. */
export function readRetry(retry: Retry | undefined, what: string): NextDelay {
  if (retry === undefined) return never
  const delayOf = typeof retry === 'function' ? readAnswers(retry, what) : readPolicy(retry, what)
  return (attempt, error, random) => {
    if (isMadeBy(error, NonRetryableError)) return null
    const delay = delayOf(attempt, error, random)
    if (delay === null || !isMadeBy(error, RetryAfterError)) return delay
    return parseDuration(error.delay, 'delay of the RetryAfterError')
  }
}

function readAnswers(ask: Extract<Retry, Function>, what: string): NextDelay {
  return (attempt, error) => {
    const answer = ask(attempt, error)
    return answer === false ? null : parseDuration(answer, `what ${what} answered`)
  }
}

const parts: Names<RetryPolicy> = {
  attempts: true,
  delay: true,
  factor: true,
  maxDelay: true,
  jitter: true,
  retryIf: true,
}

function readPolicy(policy: RetryPolicy, what: string): NextDelay {
  requireObject(policy, what, 'a policy or a function')
  requireKnown(policy, parts, `${what}: `)
  const { attempts = 3, delay = 1000, factor = 2, maxDelay = '1h', jitter = 0, retryIf } = policy
  requireInteger(attempts, `${what}.attempts`, 1, 1_000_000)
  const delayMs = parseDuration(delay, `${what}.delay`)
  const longestMs = parseDuration(maxDelay, `${what}.maxDelay`)
  requireBetween(factor, `${what}.factor`, 1, 1000)
  requireBetween(jitter, `${what}.jitter`, 0, 1)
  if (retryIf !== undefined && typeof retryIf !== 'function') {
    throw new ValidationError(`${what}.retryIf must be a function; got ${show(retryIf)}`)
  }
  return (attempt, error, random) => {
    if (attempt >= attempts || retryIf?.(error) === false) return null
    // After very many attempts the power is infinite, and no delay times that no number.
    const times = Math.min(factor ** (attempt - 1), Number.MAX_VALUE)
    const full = Math.min(delayMs * times, longestMs)
    return Math.ceil(full * (1 - jitter * random()))
  }
}

function requireBetween(value: unknown, what: string, least: number, most: number): void {
  if (typeof value === 'number' && value >= least && value <= most) return
  throw new ValidationError(`${what} must be a number from ${least} to ${most}; got ${show(value)}`)
}
