import { byPriority } from '../claim-order.ts'
import type { ReclaimRequest } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Row, Session } from './database.ts'
import { toBoolean } from './run-row.ts'
import type { Sql } from './sql.ts'

/** A running run whose worker's lease ran out, as the transaction has locked it. */
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

export interface Orphans {
  /** Whether there is an expired worker, other than this one, that has runs. */
  exist(workerId: string, now: number): Promise<boolean>
  /** Locks expired workers that have runs, and that nobody else is about to reclaim from. */
  lockWorkers(session: Session, workerId: string, now: number): Promise<string[]>
  /** Runs that may be at the end of their chances, and their concurrency keys. */
  endangered(
    session: Session,
    workerIds: readonly string[],
    request: ReclaimRequest,
  ): Promise<{ readonly id: string; readonly key: string | null }[]>
  /** First those that a claim would take first. */
  lockRuns(session: Session, workerIds: readonly string[]): Promise<Orphan[]>
}

const MAX_WORKERS = 16
const MAX_RUNS = 1000

export function createOrphans(sql: Sql, database: Database): Orphans {
  const { workers, runs, jobs, journal } = sql.tables
  const others = `
    r.expires_at <= ${sql.leaseNow} and r.id <> $workerId::text
    and exists (select 1 from ${runs} h where h.worker = r.id)`
  const exist = sql.read(`select 1 from ${workers} r where ${others} limit 1`)
  const lockWorkers = sql.write(`
    select r.id from ${workers} r
    where ${others}
    order by r.id limit ${MAX_WORKERS} ${sql.skipLocked}`)
  const ofWorkers = `
    r.worker in (select t.value from ${sql.texts('t', '$workerIds')})
    and ${sql.unsearched('r.status')} ${allowedFrom('reclaim')}`
  const endangered = sql.read(`
    select r.id, r.concurrency_key from ${runs} r
    where ${ofWorkers} and r.crashes + 1 >= $maxCrashes::int8
    order by r.id limit ${MAX_RUNS}`)
  const lockRuns = sql.write(`
    select r.id, r.job, r.concurrency_key, r.executing, r.started_at, r.crashes, r.priority, r.due_at,
      exists (select 1 from ${jobs} x where x.name = r.job and x.paused) as is_paused
    from ${runs} r where ${ofWorkers}
    order by r.id limit ${MAX_RUNS} ${sql.forUpdate}`)
  const lastMilestones = sql.read(`
    select r.id, (
      select e.kind from ${journal} e
      where e.run = r.number and e.kind in ('run:start', 'step:complete', 'step:fail', 'step:retry')
      order by e.seq desc limit 1
    ) as kind
    from ${runs} r where r.id in (select t.value from ${sql.texts('t', '$ids')})`)

  return {
    exist: async (workerId, now) => {
      const params = { workerId, ...database.leaseTime(now) }
      return (await database.rows(exist, params)).length > 0
    },
    lockWorkers: async (session, workerId, now) => {
      const rows = await session.rows(lockWorkers, { workerId, ...database.leaseTime(now) })
      return rows.map((row) => row.id as string)
    },
    endangered: async (session, workerIds, { maxCrashes }) => {
      const params = { workerIds: JSON.stringify(workerIds), maxCrashes }
      const rows = await session.rows(endangered, params)
      return rows.map((row) => ({
        id: row.id as string,
        key: row.concurrency_key as string | null,
      }))
    },
    lockRuns: async (session, workerIds) => {
      const rows = await session.rows(lockRuns, { workerIds: JSON.stringify(workerIds) })
      // In a statement of its own: only now do the journals stand still.
      const ids = JSON.stringify(rows.map((row) => row.id))
      const last = await session.rows(lastMilestones, { ids })
      const progressed = new Set(last.filter((row) => row.kind !== 'run:start').map((r) => r.id))
      return rows.map((row) => toOrphan(row, progressed.has(row.id))).sort(byPriority)
    },
  }
}

function toOrphan(row: Row, hasProgressed: boolean): Orphan {
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
