import { byPriority } from '../claim-order.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Row, Session } from './database.ts'
import { toBoolean } from './run-row.ts'
import type { Sql } from './sql.ts'
import { isAhead } from './workers.ts'

/** A locked run that is running under a worker whose lease ran out. */
export interface Orphan {
  readonly id: string
  readonly priority: number
  readonly dueAt: number
  readonly jobName: string
  readonly concurrencyKey: string | null
  readonly executing: string | null
  readonly startedAt: number
  /** Workers that died in a row while they executed it, the present one included. */
  readonly crashes: number
  readonly isPaused: boolean
}

/** A running run as it is before it is locked. */
interface Found {
  readonly id: string
  readonly key: string | null
  /** Of workers in a row that died before this one. */
  readonly crashes: number
}

export interface Orphans {
  /** Whether there is a worker, other than this one, that has runs, and is expired or from before the clock was set back. */
  exist(workerId: string, now: number): Promise<boolean>
  /** Locks expired workers that have runs, and that nobody else is about to reclaim from. */
  lockWorkers(session: Session, workerId: string, now: number): Promise<string[]>
  /** The runs that are to be locked. None can come to workers that are locked. */
  find(session: Session, workerIds: readonly string[]): Promise<Found[]>
  /** Those of the locked runs that are still running under these workers, first whom a claim would take first. */
  read(session: Session, runIds: readonly string[], workerIds: readonly string[]): Promise<Orphan[]>
}

const MAX_WORKERS = 16
const MAX_RUNS = 1000

export function createOrphans(sql: Sql, database: Database): Orphans {
  const { workers, runs, jobs, journal } = sql.tables
  const isExpired = `r.expires_at <= ${sql.leaseNow}`
  const isOther = `
    r.id <> $workerId::text and exists (select 1 from ${runs} h where h.worker = r.id)`
  const exist = sql.read(`
    select 1 from ${workers} r where (${isExpired} or ${isAhead(sql, 'r')}) and ${isOther} limit 1`)
  const lockWorkers = sql.write(`
    select r.id from ${workers} r
    where ${isExpired} and ${isOther}
    order by r.id limit ${MAX_WORKERS} ${sql.skipLocked}`)
  const isTheirs = (worker: string) => `
    ${worker} in (select w.value from ${sql.texts('w', '$workerIds')})
    and ${sql.unsearched('r.status')} ${allowedFrom('reclaim')}`
  const find = sql.read(`
    select r.id, r.concurrency_key, r.crashes from ${runs} r where ${isTheirs('r.worker')}
    order by r.id limit ${MAX_RUNS}`)
  const read = sql.read(`
    select r.id, r.job, r.concurrency_key, r.executing, r.started_at, r.crashes, r.priority, r.due_at,
      exists (select 1 from ${jobs} x where x.name = r.job and x.paused) as is_paused,
      (
        select e.kind from ${journal} e
        where e.run = r.number and e.kind in ('run:start', 'step:complete', 'step:fail', 'step:retry')
        order by e.seq desc limit 1
      ) as milestone
    from ${runs} r
    where r.id in (select t.value from ${sql.texts('t', '$ids')}) and ${isTheirs(sql.unsearched('r.worker'))}`)

  return {
    exist: async (workerId, now) => {
      const params = { workerId, ...database.leaseTime(now) }
      return (await database.rows(exist, params)).length > 0
    },
    lockWorkers: async (session, workerId, now) => {
      const rows = await session.rows(lockWorkers, { workerId, ...database.leaseTime(now) })
      return rows.map((row) => row.id as string)
    },
    find: async (session, workerIds) => {
      const rows = await session.rows(find, { workerIds: JSON.stringify(workerIds) })
      return rows.map((row) => ({
        id: row.id as string,
        key: row.concurrency_key as string | null,
        crashes: Number(row.crashes),
      }))
    },
    read: async (session, runIds, workerIds) => {
      const params = { ids: JSON.stringify(runIds), workerIds: JSON.stringify(workerIds) }
      return (await session.rows(read, params)).map(toOrphan).sort(byPriority)
    },
  }
}

function toOrphan(row: Row): Orphan {
  const hasProgressed = row.milestone !== 'run:start'
  return {
    id: row.id as string,
    priority: Number(row.priority),
    dueAt: Number(row.due_at),
    jobName: row.job as string,
    concurrencyKey: row.concurrency_key as string | null,
    executing: row.executing as string | null,
    startedAt: Number(row.started_at),
    crashes: hasProgressed ? 1 : Number(row.crashes) + 1,
    isPaused: toBoolean(row.is_paused),
  }
}
