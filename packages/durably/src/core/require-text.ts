import { ValidationError } from './error.ts'
import { show } from './show.ts'

/** Throws `ValidationError` unless `value` is text the database can keep as a name or a key. */
export function requireText(value: unknown, what: string): asserts value is string {
  if (typeof value !== 'string') {
    throw new ValidationError(`${what} must be a string; got ${show(value)}`)
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
