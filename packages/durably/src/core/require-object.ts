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

/** Every name that a value of this type may have: one that is missing here does not compile. */
export type Names<T> = Readonly<Record<keyof T & string, true>>

/** Throws `ValidationError`, which begins with `at`, when it has another option than these: a typo would do nothing. */
export function requireKnown<T extends object>(
  options: T,
  known: Names<T>,
  at = '',
  noun = 'option',
): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue
    throw new ValidationError(
      `${at}unknown ${noun} "${name}"; the ${noun}s are ${Object.keys(known).join(', ')}`,
    )
  }
}

/** Both, of the options of a call. */
export function requireOptions<T extends object>(options: T, known: Names<T>, at = ''): void {
  requireObject(options, `${at}options`)
  requireKnown(options, known, at)
}
