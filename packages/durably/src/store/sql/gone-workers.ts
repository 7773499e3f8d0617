import type { Database, Session } from './database.ts'
import type { Sql } from './sql.ts'

/** The rows of workers that are dead, or have left. */
export interface GoneWorkers {
  /** Ends the leases of those whose ids begin so, but for `except`, and forgets those of them that have no runs. */
  retire(idPrefix: string, except: readonly string[]): Promise<void>
  /** Forgets some of the workers that have not been seen for long and have no runs. */
  forgetSome(now: number): Promise<void>
  /** Forgets those of the workers, whose rows the transaction has locked, that have no runs. */
  forget(session: Session, workerIds: readonly string[]): Promise<void>
}

// A worker that wrote within this time is not forgotten: it may only be slow.
const GONE_AFTER_MS = 120_000
const MAX_FORGOTTEN = 10

export function createGoneWorkers(sql: Sql, database: Database): GoneWorkers {
  const { workers, runs } = sql.tables
  const isMeant = `
    substr(w.id, 1, length($idPrefix::text)) = $idPrefix::text
    and w.id not in (select t.value from ${sql.texts('t', '$except')})`
  const hasNoRuns = `not exists (select 1 from ${runs} r where r.worker = w.id)`
  // Whoever claims meanwhile has a lease by then: of runs that its statement does not lock, a guard sees what was.
  const forgetMeant = sql.write(
    `delete from ${workers} as w where ${isMeant} and w.expires_at = 0 and ${hasNoRuns}`,
  )
  const endLeases = sql.write(`update ${workers} as w set expires_at = 0 where ${isMeant}`)
  const isGone = `
    w.expires_at < ${sql.leaseNow} and w.seen_at < ${sql.leaseNow} - ${GONE_AFTER_MS} and ${hasNoRuns}`
  const findGone = sql.read(`select w.id from ${workers} w where ${isGone} limit ${MAX_FORGOTTEN}`)
  const forget = `
    delete from ${workers} as w
    where w.id in (select t.value from ${sql.texts('t', '$ids')})`
  const forgetGone = sql.write(`${forget} and ${isGone}`)
  const forgetIdle = sql.write(`${forget} and ${hasNoRuns}`)

  return {
    retire: async (idPrefix, except) => {
      const params = { idPrefix, except: JSON.stringify(except) }
      await database.change(endLeases, params)
      await database.change(forgetMeant, params)
    },
    forgetSome: async (now) => {
      const gone = await database.rows(findGone, database.leaseTime(now))
      if (gone.length === 0) return
      const ids = JSON.stringify(gone.map((row) => row.id))
      await database.change(forgetGone, { ids, ...database.leaseTime(now) })
    },
    forget: async (session, workerIds) => {
      await session.change(forgetIdle, { ids: JSON.stringify(workerIds) })
    },
  }
}
