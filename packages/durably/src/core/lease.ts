import { isLegal, transitions, type RunStatus } from './transitions.ts'

/**
 * A claim renews its worker's lease only if more than one part of so many is gone: a worker that claims one run after
 * the other would write its row each time.
 */
export const LEASE_PARTS = 8

/** Whether a claim leaves a lease of `leaseMs` as it is of which so much is left: not more than a whole one. */
export function isFresh(leftMs: number, leaseMs: number): boolean {
  const goneMs = leaseMs - leftMs
  return goneMs >= 0 && goneMs * LEASE_PARTS <= leaseMs
}

/**
 * Who was seen so much later than it is now was seen before the clock was set back: its lease begins anew, or nobody
 * would have its runs for as long. It is more than a process that waits for the database can be behind.
 */
export const AHEAD_MS = 60_000

/** What says of a run under which lease it stands. */
interface Standing {
  readonly status: RunStatus
  readonly generation: number
}

/** Whether the run is held under the lease of this generation: then its holder could hand it back. */
export function isHeld(run: Standing, generation: number): boolean {
  return isLegal('release', run.status) && run.generation === generation
}

/** Whether who held the run under this generation has parked it, and nobody had it since. */
export function isParked(run: Standing, generation: number): boolean {
  return isLegal('wake', run.status) && run.generation === generation
}

/** Whether the run was cancelled under this generation, which that has raised. */
export function wasCancelled(run: Standing, generation: number): boolean {
  return run.status === transitions.cancel.to && run.generation === generation + 1
}
