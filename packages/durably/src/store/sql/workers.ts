import { AHEAD_MS, isFresh, LEASE_PARTS } from '../../core/lease.ts'
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
  /** Begins the leases anew of workers that were seen before the clock was set back. */
  restartAhead(session: Session, now: number): Promise<void>
  /** The runs that name the worker. */
  leases(session: Session, workerId: string): Promise<Held[]>
}

/** Whether the clock was set back since the worker was seen, and its lease goes on. */
export function isAhead({ leaseNow }: Sql, worker: string): string {
  return `(${worker}.seen_at > ${leaseNow} + ${AHEAD_MS} and ${worker}.expires_at > ${leaseNow})`
}

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
  const restart = sql.write(`
    update ${workers} as w set
      expires_at = ${sql.leaseNow} + w.expires_at - w.seen_at, seen_at = ${sql.leaseNow}
    where w.id in (
      select r.id from ${workers} r where ${isAhead(sql, 'r')} order by r.id ${sql.skipLocked}
    )`)
  const leases = sql.read(`
    select r.id, r.generation, r.inbox from ${runs} r where r.worker = $workerId::text order by r.id`)

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
    restartAhead: async (session, now) => {
      await session.change(restart, database.leaseTime(now))
    },
    leases: async (session, workerId) => {
      const rows = await session.rows(leases, { workerId })
      return rows.map((row) => ({
        runId: row.id as string,
        generation: Number(row.generation),
        inbox: Number(row.inbox),
      }))
    },
  }
}
