import type { Session } from './database.ts'
import type { Sql } from './sql.ts'

/** Deletes what belongs to runs whose rows the transaction has deleted. */
export type RemoveTraces = (session: Session, runIds: readonly string[]) => Promise<void>

export function createRemoveTraces(sql: Sql): RemoveTraces {
  const { journal, labels, mailbox, tokens, waiters } = sql.tables
  const statements = [journal, labels, mailbox, tokens, waiters].map((table) =>
    sql.write(`
      delete from ${table} where run_id in (select t.value from ${sql.texts('t', '$ids')})`),
  )
  return async (session, runIds) => {
    if (runIds.length === 0) return
    const ids = JSON.stringify(runIds)
    for (const statement of statements) await session.change(statement, { ids })
  }
}
