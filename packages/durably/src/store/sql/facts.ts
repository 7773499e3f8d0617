import type { Entry, EntryKind } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import type { Fact } from '../store.ts'
import type { Row, Session } from './database.ts'
import type { Append } from './journal.ts'
import { toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

/** What is written to the journals of runs whose rows the transaction has changed. */
export interface Note {
  readonly kind: EntryKind
  readonly at: number
  data(run: RunRecord): string
}

/** Writes the next entry of each run, and tells how the run and the entry now are. */
export type RecordFacts = (
  session: Session,
  runIds: readonly string[],
  note: Note,
) => Promise<Fact[]>

export function createRecordFacts(sql: Sql, append: Append): RecordFacts {
  const select = sql.read(`
    select r.* from ${sql.tables.runs} r
    where r.id in (select t.value from ${sql.texts('t', '$ids')})
    order by r.id`)

  return async (session, runIds, { kind, at, data }) => {
    if (runIds.length === 0) return []
    const rows = await session.rows(select, { ids: JSON.stringify(runIds) })
    const runs = rows.map((row) => toRunRecord({ ...row, last_at: at }))
    const entries = await append(
      session,
      runs.map((run, i) => ({
        row: rows[i] as Row,
        entry: {
          runId: run.id,
          generation: run.generation,
          kind,
          name: null,
          at,
          data: data(run),
        },
      })),
    )
    return runs.map((run, i) => ({ run, entry: entries[i] as Entry }))
  }
}
