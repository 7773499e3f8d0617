import { ValidationError } from './error.ts'
import { show } from './show.ts'

/** The date in milliseconds since the epoch. Throws `ValidationError` unless it is a valid one. */
export function requireDate(value: unknown, what: string): number {
  const time = value instanceof Date ? value.getTime() : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new ValidationError(`${what} must be a valid Date; got ${show(value)}`)
}
