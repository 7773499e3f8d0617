import { DurablyError } from '../core/error.ts'
import { isPassing } from './remote-error.ts'

/**
 * Whether what a page shows may come to be known after all. What a server refuses does not pass, nor that an instance in
 * the page was closed, or finds a row that is not what was written; whatever else its database says does.
 */
export function mayPass(error: Error | null): boolean {
  return (
    error !== null && (!(error instanceof DurablyError) || isOfDatabase(error) || isPassing(error))
  )
}

/** What a page says of it: of what passes by itself nothing, but tables have to be made, and transactions to end. */
export function tellable(error: Error | null): Error | null {
  return isOfDatabase(error) || !mayPass(error) ? error : null
}

function isOfDatabase(error: Partial<DurablyError> | null): boolean {
  return error?.code === 'store'
}
