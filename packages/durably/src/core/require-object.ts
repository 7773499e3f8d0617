import { ValidationError } from './error.ts'
import { show } from './show.ts'

/** Throws `ValidationError` unless `value` has options or names to read: an object, and no list. */
export function requireObject(
  value: unknown,
  what: string,
  needed = 'an object',
): asserts value is object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return
  throw new ValidationError(`${what} must be ${needed}; got ${show(value)}`)
}
