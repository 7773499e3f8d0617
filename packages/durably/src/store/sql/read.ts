import { isEnding, isTerminal } from '../../core/transitions.ts'
import type { JournalPage } from '../store.ts'
import type { Database } from './database.ts'
import { gatherReads } from './gather-reads.ts'
import { toEntry } from './journal.ts'
import { createReadRuns } from './lock-runs.ts'
import type { Sql } from './sql.ts'

export function createRead(sql: Sql, database: Database) {
  const readRuns = createReadRuns(sql)
  const run = gatherReads((ids) => readRuns(database, ids))
  const selectEntries = sql.read(`
    select e.seq, e.generation, e.kind, e.name, e.at, e.data from ${sql.tables.journal} e
    where e.run = (select r.number from ${sql.tables.runs} r where r.id = $runId::text) and e.seq > $after::int8
    order by e.seq ${sql.limit('$limit')}`)

  return {
    run,
    // The run first: what its status speaks of is then among the entries.
    journal: async (runId: string, after: number, limit: number): Promise<JournalPage | null> => {
      const record = await run(runId)
      if (record === null) return null
      const rows = await database.rows(selectEntries, { runId, after, limit })
      const entries = rows.map((row) => toEntry(runId, row))
      const last = entries.at(-1)
      // It ended in between: what it ended with stands in the run alone.
      const isStale = last !== undefined && isEnding(last.kind) && !isTerminal(record.status)
      const present = isStale ? await run(runId) : record
      return present === null ? null : { run: present, entries }
    },
  }
}
