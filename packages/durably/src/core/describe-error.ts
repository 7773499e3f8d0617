import { clip } from './clip.ts'
import { RetryAfterError, RunFailedError, ValidationError, type ErrorDetail } from './error.ts'

// A chain of causes can be a circle.
const MAX_CAUSES = 8
const MAX_ERRORS = 8

/** What can be kept of anything that was thrown. */
export function describeError(thrown: unknown, step?: string): ErrorDetail {
  return { ...describe(thrown, MAX_CAUSES), ...(step === undefined ? {} : { step }) }
}

function describe(thrown: unknown, causesLeft: number): ErrorDetail {
  try {
    if (thrown instanceof Error) return describeParts(thrown, causesLeft)
    return { name: 'Error', message: clip(textOf(thrown)) }
  } catch {
    return { name: 'Error', message: 'An error was thrown that cannot be read' }
  }
}

function describeParts(thrown: Error, causesLeft: number): ErrorDetail {
  const { code, cause } = thrown as { code?: unknown; cause?: unknown }
  return {
    name: String(thrown.name),
    message: clip(String(thrown.message)),
    ...(typeof thrown.stack === 'string' ? { stack: clip(thrown.stack) } : {}),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(cause === undefined || causesLeft === 0 ? {} : { cause: describe(cause, causesLeft - 1) }),
    ...describeOwn(thrown, causesLeft),
  }
}

/** What errors of these classes have beside what every error has. */
function describeOwn(thrown: Error, causesLeft: number): Partial<ErrorDetail> {
  if (thrown instanceof ValidationError) return { issues: thrown.issues }
  if (thrown instanceof RunFailedError) {
    const { runId, detail } = thrown
    return { runId, ...(detail.step === undefined ? {} : { failedStep: detail.step }) }
  }
  if (thrown instanceof RetryAfterError) return { delay: thrown.delay }
  if (!(thrown instanceof AggregateError) || causesLeft === 0) return {}
  return { errors: thrown.errors.slice(0, MAX_ERRORS).map((one: unknown) => describe(one, 0)) }
}

function textOf(thrown: unknown): string {
  if (typeof thrown === 'string' || typeof thrown === 'bigint') return String(thrown)
  try {
    const { message } = (thrown ?? {}) as { readonly message?: unknown }
    if (typeof message === 'string' && message !== '') return message
    return JSON.stringify(thrown) ?? String(thrown)
  } catch {
    return Object.prototype.toString.call(thrown)
  }
}
