import { isFresh, LEASE_PARTS } from '../../core/lease.ts'
import type { ClaimRequest, Held, WorkerLease } from '../store.ts'
import type { Database, Session } from './database.ts'
import { toNumber } from './run-row.ts'
import type { Sql } from './sql.ts'

/** The rows of workers: a lease belongs to the worker, whatever it runs. */
export interface Workers {
  /** Renews the lease; `jobs` are noted when they are given. */
  renew(session: Session, worker: WorkerLease, now: number, jobs?: readonly string[]): Promise<void>
  /** The same with its jobs after a claim, if too little is left until `leasedUntil`, or it has no such lease. */
  renewUnlessFresh(
    session: Session,
    request: ClaimRequest,
    leasedUntil: unknown,
    now: number,
  ): Promise<void>
  /** Locks the worker's row, if it has one and writers are not alone, to be renewed later in the transaction. */
  lock(session: Session, workerId: string): Promise<void>
  /** The runs that name the worker. */
  leases(session: Session, workerId: string): Promise<Held[]>
  /** Ends the leases of those whose ids begin so. */
  retire(session: Session, idPrefix: string): Promise<void>
  /** Forgets some of the workers that have not been seen for long and have no runs. */
  forgetGone(session: Session, now: number): Promise<void>
  /** Forgets those of the workers, whose rows the transaction has locked, that have no runs. */
  forget(session: Session, workerIds: readonly string[]): Promise<void>
}

// A worker that wrote within this time is shown as live.
const GONE_AFTER_MS = 120_000
const MAX_FORGOTTEN = 10

/** The text that renews the lease of `$workerId` if `condition` holds; `expiresAt` is its end where the worker has a row. */
function renewWorker(
  { tables, leaseNow }: Sql,
  condition: string,
  expiresAt = 'excluded.expires_at',
): string {
  return `
    insert into ${tables.workers} as w (id, expires_at, seen_at, jobs)
    select $workerId::text, ${leaseNow} + $leaseMs::int8, ${leaseNow}, coalesce($jobs::text, '[]')
    where ${condition}
    on conflict (id) do update set expires_at = ${expiresAt}, seen_at = excluded.seen_at,
      jobs = coalesce($jobs::text, w.jobs)`
}

/** The same for a claim of runs of `$jobs`: a fresh lease is left as it is. */
export function renewForClaim(sql: Sql, condition: string): string {
  const gone = `($leaseMs::int8 - w.expires_at + ${sql.leaseNow})`
  const isYoung = `${gone} * ${LEASE_PARTS} between 0 and $leaseMs::int8`
  const isLeased = `w.jobs = $jobs::text and ${isYoung}`
  return renewWorker(
    sql,
    condition,
    `case when ${isLeased} then w.expires_at else excluded.expires_at end`,
  )
}

/** A column: when the lease of a worker that is known with these jobs ends. */
export function leasedUntil({ tables }: Sql, workerId: string, jobs: string): string {
  return `(select w.expires_at from ${tables.workers} w where w.id = ${workerId} and w.jobs = ${jobs}) as leased_until`
}

export function createWorkers(sql: Sql, database: Database): Workers {
  const { workers, runs } = sql.tables
  const renew = sql.write(renewWorker(sql, 'true'))
  const lock = sql.write(`
    select r.id from ${workers} r where r.id = $workerId::text ${sql.forUpdate}`)
  const leases = sql.read(`
    select r.id, r.generation, r.inbox from ${runs} r where r.worker = $workerId::text order by r.id`)
  const retire = sql.write(`
    update ${workers} set expires_at = 0
    where substr(id, 1, length($idPrefix::text)) = $idPrefix::text`)
  const hasNoRuns = `not exists (select 1 from ${runs} r where r.worker = w.id)`
  const isGone = `
    w.expires_at < ${sql.leaseNow} and w.seen_at < ${sql.leaseNow} - ${GONE_AFTER_MS} and ${hasNoRuns}`
  const findGone = sql.read(`select w.id from ${workers} w where ${isGone} limit ${MAX_FORGOTTEN}`)
  const forget = `
    delete from ${workers} as w
    where w.id in (select t.value from ${sql.texts('t', '$ids')})`
  const forgetGone = sql.write(`${forget} and ${isGone}`)
  const forgetIdle = sql.write(`${forget} and ${hasNoRuns}`)

  async function renewLease(
    session: Session,
    { workerId, leaseMs }: WorkerLease,
    now: number,
    jobs?: readonly string[],
  ): Promise<void> {
    const known = jobs === undefined ? null : JSON.stringify(jobs)
    await session.change(renew, { workerId, leaseMs, jobs: known, ...database.leaseTime(now) })
  }

  /** Where the clock of the database counts, nobody knows here how much is left. */
  function isLeased(until: unknown, leaseMs: number, now: number): boolean {
    const { leaseNow } = database.leaseTime(now)
    const expiresAt = toNumber(until)
    return leaseNow !== null && expiresAt !== null && isFresh(expiresAt - leaseNow, leaseMs)
  }

  return {
    renew: renewLease,
    renewUnlessFresh: async (session, request, until, now) => {
      if (isLeased(until, request.leaseMs, now)) return
      await renewLease(session, request, now, request.jobs)
    },
    lock: async (session, workerId) => {
      if (sql.forUpdate !== '') await session.rows(lock, { workerId })
    },
    leases: async (session, workerId) => {
      const rows = await session.rows(leases, { workerId })
      return rows.map((row) => ({
        runId: row.id as string,
        generation: Number(row.generation),
        inbox: Number(row.inbox),
      }))
    },
    retire: async (session, idPrefix) => {
      await session.change(retire, { idPrefix })
    },
    forgetGone: async (session, now) => {
      const gone = await session.rows(findGone, database.leaseTime(now))
      if (gone.length === 0) return
      const ids = JSON.stringify(gone.map((row) => row.id))
      await session.change(forgetGone, { ids, ...database.leaseTime(now) })
    },
    forget: async (session, workerIds) => {
      await session.change(forgetIdle, { ids: JSON.stringify(workerIds) })
    },
  }
}
