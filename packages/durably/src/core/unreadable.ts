import { DurablyError } from './error.ts'

/** What is said of a row of the database that Durably did not write so, or that its codec does not read. */
export function unreadable(what: string, cause?: unknown): DurablyError {
  const why = cause instanceof Error ? ` (${cause.message})` : ''
  const message = `Cannot read ${what}: it is not what was written, or not by this codec${why}`
  return new DurablyError('unreadable', message, { cause })
}
