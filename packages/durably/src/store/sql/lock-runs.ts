import type { RunRecord } from '../../core/run.ts'
import type { RunStatus } from '../../core/transitions.ts'
import { BeginAnewError, type Session } from './database.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

/** A run as its lock found it. */
export interface LockedRun {
  readonly status: RunStatus
  readonly generation: number
  readonly inbox: number
}

/** Locks runs for as long as the transaction lasts, in the one order in which everyone locks them. */
export type LockRuns = (
  session: Session,
  runIds: Iterable<string>,
) => Promise<ReadonlyMap<string, LockedRun>>

export function createLockRuns(sql: Sql): LockRuns {
  const lock = sql.write(`
    select r.id, r.status, r.generation, r.inbox from ${sql.tables.runs} r
    where r.id in (select t.value from ${sql.texts('t', '$ids')})
    order by r.id ${sql.forUpdate}`)

  return async (session, runIds) => {
    const ids = [...new Set(runIds)]
    if (ids.length === 0) return new Map()
    const rows = await session.rows(lock, { ids: JSON.stringify(ids) })
    return new Map(
      rows.map((row) => [
        row.id as string,
        {
          status: row.status as RunStatus,
          generation: Number(row.generation),
          inbox: Number(row.inbox),
        },
      ]),
    )
  }
}

/** The same for the sake of the order alone: where writers are alone, it asks nothing. */
export function createLockInOrder(sql: Sql, lockRuns: LockRuns): LockRuns {
  return sql.forUpdate === '' ? () => Promise.resolve(new Map()) : lockRuns
}

/** Locks runs that the transaction came to know too late to lock them in order. It waits for nobody. */
export type LockLate = (session: Session, runIds: readonly string[]) => Promise<void>

export function createLockLate(sql: Sql): LockLate {
  const lock = sql.write(`
    select r.id from ${sql.tables.runs} r
    where r.id in (select t.value from ${sql.texts('t', '$ids')}) ${sql.skipLocked}`)

  return async (session, runIds) => {
    // Where writers are alone, nothing has to be locked.
    if (runIds.length === 0 || sql.skipLocked === '') return
    const locked = await session.rows(lock, { ids: JSON.stringify(runIds) })
    if (locked.length === runIds.length) return
    throw new BeginAnewError('A run that is to be told of an end is locked: try again')
  }
}

/** Reads runs in a statement of its own: of those that the transaction has locked, only now is it sure how they are. */
export type ReadRuns = (
  session: Session,
  runIds: Iterable<string>,
) => Promise<Map<string, RunRecord>>

export function createReadRuns(sql: Sql): ReadRuns {
  const select = sql.read(`
    select ${runColumns(sql.tables)} from ${sql.tables.runs} r
    where r.id in (select t.value from ${sql.texts('t', '$ids')})`)

  return async (session, runIds) => {
    const ids = JSON.stringify([...new Set(runIds)])
    const runs = (await session.rows(select, { ids })).map(toRunRecord)
    return new Map(runs.map((run) => [run.id, run]))
  }
}
