import type { Held, WorkerLease } from '../store.ts'
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

export function retire(tables: Tables, idPrefix: string): void {
  for (const workerId of tables.workers.keys()) {
    if (workerId.startsWith(idPrefix)) tables.workers.set(workerId, 0)
  }
}

export function renewLease(tables: Tables, { workerId, leaseMs }: WorkerLease, now: number): void {
  tables.workers.set(workerId, now + leaseMs)
}
