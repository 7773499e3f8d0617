import { DurablyError } from './error.ts'

/** What is said of a row of the database that Durably did not write so. */
export function unreadable(what: string, cause?: unknown): DurablyError {
  return new DurablyError('store', `Cannot read ${what}: it is not what was written`, { cause })
}
