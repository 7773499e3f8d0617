import type { Store } from '../store.ts'
import type { Database } from './database.ts'
import type { GoneWorkers } from './gone-workers.ts'
import type { Workers } from './workers.ts'

export function createRenew(
  database: Database,
  workers: Workers,
  goneWorkers: GoneWorkers,
): Store['renew'] {
  return async (worker, now) => {
    await workers.renew(database, worker, now)
    await goneWorkers.forgetSome(now)
    return workers.leases(database, worker.workerId)
  }
}
