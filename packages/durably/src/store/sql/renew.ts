import type { Store } from '../store.ts'
import type { Database } from './database.ts'
import type { Workers } from './workers.ts'

export function createRenew(database: Database, workers: Workers): Store['renew'] {
  return async (worker, now) => {
    await workers.renew(database, worker, now)
    await workers.forgetGone(database, now)
    return workers.leases(database, worker.workerId)
  }
}
