import type { Lease, WorkerLease } from '../store.ts'
import type { Tables } from './tables.ts'

export function renew(tables: Tables, worker: WorkerLease, now: number): Lease[] {
  renewLease(tables, worker, now)
  return leasesOf(tables, worker.workerId)
}

export function leasesOf(tables: Tables, workerId: string): Lease[] {
  return [...tables.runs.values()]
    .filter((row) => row.workerId === workerId)
    .map(({ record: { id, generation } }) => ({ runId: id, generation }))
}

export function renewLease(tables: Tables, { workerId, leaseMs }: WorkerLease, now: number): void {
  tables.workers.set(workerId, now + leaseMs)
}
