import { DurablyError } from '../core/error.ts'
import { isPassing } from './remote-error.ts'

/**
 * Whether what a page shows may come to be known after all. What a server refuses does not pass; an instance in the page
 * rejects with whatever its database says, which does.
 */
export function mayPass(error: unknown): boolean {
  return !(error instanceof DurablyError) || isPassing(error)
}
