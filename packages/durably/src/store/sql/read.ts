import type { RunRecord } from '../../core/run.ts'
import type { JournalPage } from '../store.ts'
import type { Database } from './database.ts'
import { toEntry } from './journal.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

export function createRead(sql: Sql, database: Database) {
  const { runs, journal } = sql.tables
  const selectRun = sql.read(`
    select ${runColumns(sql.tables)} from ${runs} r where r.id = $id::text`)
  const selectEntries = sql.read(`
    select e.seq, e.generation, e.kind, e.name, e.at, e.data from ${journal} e
    where e.run_id = $runId::text and e.seq > $after::int8
    order by e.seq limit $limit::int8`)

  async function run(id: string): Promise<RunRecord | null> {
    const [row] = await database.rows(selectRun, { id })
    return row === undefined ? null : toRunRecord(row)
  }

  return {
    run,
    // The run first: what its status speaks of is then among the entries.
    journal: async (runId: string, after: number, limit: number): Promise<JournalPage | null> => {
      const record = await run(runId)
      if (record === null) return null
      const rows = await database.rows(selectEntries, { runId, after, limit })
      return { run: record, entries: rows.map((row) => toEntry(runId, row)) }
    },
  }
}
