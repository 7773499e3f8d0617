import type { RunStatus } from '../../core/transitions.ts'

/** What an update sets of a run that ends now, but not by its holder's own commit. */
export function setEnded(status: RunStatus): string {
  return `status = '${status}', ready = false, wake_at = null, waiting_for = null, worker = null, holds_key = false,
    executing = null, updated_at = $now::int8, completed_at = $now::int8`
}
