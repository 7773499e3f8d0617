import type { Row, Session } from './database.ts'
import { createKeepIds } from './deleted-ids.ts'
import type { Sql } from './sql.ts'

/**
 * Deletes what belongs to runs whose rows (`number`, `id`, `inbox` and `created_at` of them) the transaction has
 * deleted. Of those that were made not long ago, the id is kept for a while.
 */
export type RemoveTraces = (session: Session, rows: readonly Row[], now: number) => Promise<void>

export function createRemoveTraces(sql: Sql): RemoveTraces {
  const { journal, labels, mailbox, tokens, waiters } = sql.tables
  const removeFrom = (table: string) =>
    sql.write(`
      delete from ${table} where run_id in (select t.value from ${sql.texts('t', '$ids')})`)
  const removeJournals = sql.write(`
    delete from ${journal}
    where run in (select b.number from ${sql.rows('b', '$numbers', { number: 'int8' })})`)
  const statements = [labels, tokens, waiters].map(removeFrom)
  const emptyMailboxes = removeFrom(mailbox)

  const keepIds = createKeepIds(sql)

  return async (session, rows, now) => {
    if (rows.length === 0) return
    await keepIds(session, rows, now)
    const numbers = JSON.stringify(rows.map((row) => ({ number: Number(row.number) })))
    await session.change(removeJournals, { numbers })
    const ids = JSON.stringify(rows.map((row) => row.id))
    for (const statement of statements) await session.change(statement, { ids })
    // Where one run gets all the messages there are, a planner takes it that others get as many, and reads them all.
    const sentTo = rows.filter((row) => Number(row.inbox) > 0)
    if (sentTo.length === 0) return
    await session.change(emptyMailboxes, { ids: JSON.stringify(sentTo.map((row) => row.id)) })
  }
}
