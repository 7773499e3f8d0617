import { isFresh } from '../../core/lease.ts'
import type { ClaimRequest, Held, WorkerLease } from '../store.ts'
import type { Tables } from './tables.ts'

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

/** `jobs` are noted when they are given. */
export function renewLease(
  { workers }: Tables,
  { workerId, leaseMs }: WorkerLease,
  now: number,
  jobs?: readonly string[],
): void {
  const known = jobs === undefined ? (workers.get(workerId)?.jobs ?? '') : String(jobs)
  workers.set(workerId, { expiresAt: now + leaseMs, jobs: known })
}

export function renewUnlessFresh(tables: Tables, request: ClaimRequest, now: number): void {
  const { workerId, leaseMs, jobs } = request
  const worker = tables.workers.get(workerId)
  const isKnown = worker?.jobs === String(jobs)
  if (isKnown && isFresh(worker.expiresAt - now, leaseMs)) return
  renewLease(tables, request, now, jobs)
}
