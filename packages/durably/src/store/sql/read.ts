import type { JournalPage } from '../store.ts'
import type { Database } from './database.ts'
import { gatherReads } from './gather-reads.ts'
import { toEntry } from './journal.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

export function createRead(sql: Sql, database: Database) {
  const { runs, journal } = sql.tables
  const select = `select ${runColumns(sql.tables)} from ${runs} r`
  const selectRun = sql.read(`${select} where r.id = $id::text`)
  const selectRuns = sql.read(`
    ${select} where r.id in (select t.value from ${sql.texts('t', '$ids')})`)
  const selectEntries = sql.read(`
    select e.seq, e.generation, e.kind, e.name, e.at, e.data from ${journal} e
    where e.run_id = $runId::text and e.seq > $after::int8
    order by e.seq limit $limit::int8`)

  const run = gatherReads(async (ids) => {
    const [id] = ids
    const rows = await (ids.length === 1
      ? database.rows(selectRun, { id })
      : database.rows(selectRuns, { ids: JSON.stringify(ids) }))
    return rows.map(toRunRecord)
  })

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
