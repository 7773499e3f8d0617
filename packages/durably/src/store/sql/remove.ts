import type { RunStatus } from '../../core/transitions.ts'
import type { Removed, Store } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Session } from './database.ts'
import { createRemoveTraces } from './remove-traces.ts'
import { toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

export function createRemove(sql: Sql, database: Database): Store['remove'] {
  const { runs, journal } = sql.tables
  const remove = sql.write(`
    delete from ${runs} where id = $runId::text and status ${allowedFrom('delete')} returning *`)
  const selectLast = sql.read(`
    select max(e.seq) as seq from ${journal} e where e.run = $number::int8`)
  const selectStatus = sql.read(`select r.status from ${runs} r where r.id = $runId::text`)
  const removeTraces = createRemoveTraces(sql)

  async function removeWithin(session: Session, runId: string, now: number): Promise<Removed> {
    const [row] = await session.rows(remove, { runId })
    if (row === undefined) {
      const [left] = await session.rows(selectStatus, { runId })
      return { done: false, status: (left?.status as RunStatus | undefined) ?? null }
    }
    const [last] = await session.rows(selectLast, { number: row.number })
    await removeTraces(session, [row], now)
    return { done: true, run: toRunRecord(row), lastSeq: Number(last?.seq ?? 0) }
  }

  return (runId, now) => database.transaction((session) => removeWithin(session, runId, now))
}
