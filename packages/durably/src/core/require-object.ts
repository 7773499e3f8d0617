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

/** Throws `ValidationError`, which begins with `at`, when it has another option than these: a typo would do nothing. */
export function requireKnown(
  options: object,
  known: readonly string[],
  at = '',
  noun = 'option',
): void {
  const unknown = Object.keys(options).find((key) => !known.includes(key))
  if (unknown === undefined) return
  throw new ValidationError(
    `${at}unknown ${noun} "${unknown}"; the ${noun}s are ${known.join(', ')}`,
  )
}
