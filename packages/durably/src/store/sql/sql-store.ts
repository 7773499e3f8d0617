import { Kysely, type Dialect } from 'kysely'
import type { Env } from '../../core/env.ts'
import type { Store } from '../store.ts'
import { createAct } from './act.ts'
import { createClaim } from './claim.ts'
import { createCoalesce } from './coalesce.ts'
import { createCommit } from './commit.ts'
import { createConsume } from './consume.ts'
import { createDatabase, type Database } from './database.ts'
import { createDeliver } from './deliver.ts'
import { pickDialect } from './dialects/pick-dialect.ts'
import { createFindDeleted } from './deleted-ids.ts'
import { createEnqueue } from './enqueue.ts'
import { createRecordFacts } from './facts.ts'
import { createInsertNew } from './insert-new.ts'
import { createFindRuns, createInsertRuns } from './insert-runs.ts'
import { createAppend } from './journal.ts'
import { createKeys } from './keys.ts'
import { createLook } from './look.ts'
import { createLockInOrder, createLockLate, createLockRuns, createReadRuns } from './lock-runs.ts'
import { createMailbox } from './mailbox.ts'
import { createMigrate } from './migrate.ts'
import { createSetPaused } from './pause.ts'
import { createPromote } from './promote.ts'
import { createPurge } from './purge.ts'
import { createRead } from './read.ts'
import { createReclaim } from './reclaim.ts'
import { createRemove } from './remove.ts'
import { createRenew } from './renew.ts'
import { createRuns } from './runs.ts'
import { createSend } from './send.ts'
import { createSharedDriver } from './shared-driver.ts'
import { createSql, type Sql } from './sql.ts'
import { createVersion } from './version.ts'
import { createWaiters } from './waiters.ts'
import { createWatch } from './watch.ts'
import { createWorkers } from './workers.ts'
import { createGoneWorkers } from './gone-workers.ts'
import { createWrite } from './write.ts'

export interface SqlStoreOptions {
  readonly dialect: Dialect
  readonly env: Env
  readonly tablePrefix?: string
  /** `normal` may lose the last commits in a power cut, and nothing else. */
  readonly synchronous?: 'full' | 'normal'
  /** Milliseconds that the database's clock is moved by, where leases go by that: for tests. */
  readonly clockOffset?: (now: number) => number
}

export interface SqlStore {
  readonly store: Store
  /** The same database, for everyone else. Destroying it closes nothing that the user made. */
  readonly db: Kysely<unknown>
}

/** Does no I/O. Throws `ValidationError` for a dialect or prefix that cannot be used. */
export function createSqlStore(options: SqlStoreOptions): SqlStore {
  const { env, clockOffset = () => 0 } = options
  const { tablePrefix = 'durably_', synchronous = 'full' } = options
  const dialect = pickDialect({ dialect: options.dialect, env, tablePrefix, synchronous })
  const sql = createSql(dialect, tablePrefix)
  const driver = createSharedDriver(dialect.kysely, env)
  const db = new Kysely<unknown>({ dialect: { ...dialect.kysely, createDriver: () => driver } })
  const database = createDatabase(driver, dialect, env, clockOffset)
  return { store: createStore(sql, database, () => driver.destroy()), db }
}

function createStore(sql: Sql, database: Database, close: () => Promise<void>): Store {
  const append = createAppend(sql)
  const keys = createKeys(sql)
  const workers = createWorkers(sql, database)
  const goneWorkers = createGoneWorkers(sql, database)
  const find = createFindRuns(sql)
  const claim = createClaim(sql, database, { append, workers })
  const recordFacts = createRecordFacts(sql, append)
  const lockRuns = createLockRuns(sql)
  const lockInOrder = createLockInOrder(sql, lockRuns)
  const enqueue = createEnqueue(sql, {
    insert: createInsertRuns(sql, find, createInsertNew(sql, database, workers)),
    find,
    findDeleted: createFindDeleted(sql, lockRuns),
    coalesce: createCoalesce(sql, append),
  })
  const readRuns = createReadRuns(sql)
  const deliver = createDeliver(sql, append)
  const waiters = createWaiters(sql, { lockLate: createLockLate(sql), readRuns, deliver })
  const { run, journal } = createRead(sql, database)
  return {
    migrate: createMigrate(sql, database),
    write: createWrite(database, {
      commit: createCommit(sql),
      consume: createConsume(sql),
      enqueue,
      send: createSend(sql, readRuns, deliver),
      claim,
      keys,
      lockRuns,
      waiters,
      workers,
    }),
    look: createLook(sql, database),
    promote: createPromote(sql, database, { recordFacts, keys, lockRuns: lockInOrder, waiters }),
    reclaim: createReclaim(sql, database, {
      recordFacts,
      keys,
      lockRuns: lockInOrder,
      waiters,
      workers,
      goneWorkers,
    }),
    renew: createRenew(database, workers, goneWorkers),
    retire: goneWorkers.retire,
    leases: (workerId) => workers.leases(database, workerId),
    act: createAct(sql, database, { recordFacts, keys, lockRuns: lockInOrder, waiters }),
    remove: createRemove(sql, database),
    watch: createWatch(database, { lockRuns, readRuns, waiters }),
    mailbox: createMailbox(sql, database),
    setPaused: createSetPaused(sql, database),
    purge: createPurge(sql, database, lockInOrder),
    run,
    runs: createRuns(sql, database),
    journal,
    version: createVersion(sql, database),
    close,
  }
}
