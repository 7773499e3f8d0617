import { KEPT_IDS_MS, type NewRun } from '../store.ts'
import type { Row, Session } from './database.ts'
import type { LockRuns } from './lock-runs.ts'
import type { Sql } from './sql.ts'

/** Keeps the ids of those of the deleted rows (`id` and `created_at` of them) that were made not long ago. */
export type KeepIds = (session: Session, rows: readonly Row[], now: number) => Promise<void>

export function createKeepIds(sql: Sql): KeepIds {
  const { deleted } = sql.tables
  const forget = sql.write(`delete from ${deleted} where at <= $before::int8`)
  const keep = sql.write(`
    insert into ${deleted} (id, at)
    select t.value, $now::int8 from ${sql.texts('t', '$ids')} where true
    on conflict (id) do nothing`)

  return async (session, rows, now) => {
    const before = now - KEPT_IDS_MS
    const young = rows.filter((row) => Number(row.created_at) > before)
    if (young.length === 0) return
    await session.change(forget, { before })
    await session.change(keep, { now, ids: JSON.stringify(young.map((row) => row.id)) })
  }
}

/** Which of the runs were made by an earlier sending, and deleted since. Those that exist stay until the transaction ends. */
export type FindDeleted = (
  session: Session,
  runs: readonly NewRun[],
) => Promise<ReadonlySet<string>>

export function createFindDeleted(sql: Sql, lockRuns: LockRuns): FindDeleted {
  const find = sql.read(`
    select d.id from ${sql.tables.deleted} d
    where d.id in (select t.value from ${sql.texts('t', '$ids')})`)

  return async (session, runs) => {
    const ids = runs.filter(({ isSentAgain }) => isSentAgain === true).map(({ id }) => id)
    if (ids.length === 0) return new Set()
    // A deletion that is under way is waited for; then its ids are there to be read.
    await lockRuns(session, ids)
    const rows = await session.rows(find, { ids: JSON.stringify(ids) })
    return new Set(rows.map((row) => row.id as string))
  }
}
