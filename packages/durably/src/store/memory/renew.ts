import { AHEAD_MS, isFresh } from '../../core/lease.ts'
import type { ClaimRequest, Held, WorkerLease } from '../store.ts'
import type { Tables, WorkerRow } from './tables.ts'

export function renew(tables: Tables, worker: WorkerLease, now: number): Held[] {
  renewLease(tables, worker, now)
  return leasesOf(tables, worker.workerId)
}

export function leasesOf(tables: Tables, workerId: string): Held[] {
  return [...tables.runs.values()]
    .filter((row) => row.workerId === workerId)
    .map(({ record: { id, generation, inbox } }) => ({ runId: id, generation, inbox }))
}

export function retire(tables: Tables, idPrefix: string, except: readonly string[]): void {
  for (const [workerId, worker] of tables.workers) {
    if (!workerId.startsWith(idPrefix) || except.includes(workerId)) continue
    if (leasesOf(tables, workerId).length === 0) tables.workers.delete(workerId)
    else tables.workers.set(workerId, { ...worker, expiresAt: 0 })
  }
}

/** Whether the clock was set back since the worker was seen, and its lease goes on. */
export function isAhead({ seenAt, expiresAt }: WorkerRow, now: number): boolean {
  return seenAt > now + AHEAD_MS && expiresAt > now
}

/** Begins the leases anew of workers that were seen before the clock was set back. */
export function restartAhead({ workers }: Tables, now: number): void {
  for (const [workerId, worker] of workers) {
    if (!isAhead(worker, now)) continue
    const { expiresAt, seenAt } = worker
    workers.set(workerId, { ...worker, expiresAt: now + expiresAt - seenAt, seenAt: now })
  }
}

/** `jobs` are noted when they are given. */
export function renewLease(
  { workers }: Tables,
  { workerId, leaseMs }: WorkerLease,
  now: number,
  jobs?: readonly string[],
): void {
  const known = jobs === undefined ? (workers.get(workerId)?.jobs ?? '') : String(jobs)
  workers.set(workerId, { expiresAt: now + leaseMs, seenAt: now, jobs: known })
}

export function renewUnlessFresh(tables: Tables, request: ClaimRequest, now: number): void {
  const { workerId, leaseMs, jobs } = request
  const worker = tables.workers.get(workerId)
  const isKnown = worker?.jobs === String(jobs)
  if (isKnown && isFresh(worker.expiresAt - now, leaseMs)) return
  renewLease(tables, request, now, jobs)
}
