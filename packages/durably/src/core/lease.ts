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
