import type { Entry, EntryKind } from '../../core/journal.ts'
import type { Row, Session } from './database.ts'
import { createRowsStatement } from './rows-statement.ts'
import type { Sql } from './sql.ts'

/** An entry that takes the next position of its run's journal, and the row of that run. */
interface Appended {
  readonly row: Row
  readonly entry: Omit<Entry, 'seq'>
}

/** Appends to the journals of runs whose rows the transaction has locked. At most one entry for each run. */
export type Append = (session: Session, entries: readonly Appended[]) => Promise<Entry[]>

export function createAppend(sql: Sql): Append {
  const { journal } = sql.tables
  const insert = createRowsStatement(
    sql,
    'b',
    { run: 'int8', generation: 'int8', kind: 'text', name: 'text', at: 'int8', data: 'text' },
    (rows) => `
    insert into ${journal} (run, seq, generation, kind, name, at, data)
    select b.run,
      coalesce((select max(e.seq) from ${journal} e where e.run = b.run), 0) + 1,
      b.generation, b.kind, b.name, b.at, b.data
    from ${rows} where b.run is not null
    returning run, seq`,
  )

  return async (session, entries) => {
    const values = entries.map(({ row, entry: { generation, kind, name, at, data } }) => {
      return [Number(row.number), generation, kind, name, at, data]
    })
    const positions = new Map<number, number>()
    for (const [statement, params] of insert.over(values)) {
      for (const { run, seq } of await session.rows(statement, params)) {
        positions.set(Number(run), Number(seq))
      }
    }
    return entries.map(({ row, entry }) => {
      return { ...entry, seq: positions.get(Number(row.number)) ?? 0 }
    })
  }
}

export function toEntry(runId: string, row: Row): Entry {
  return {
    runId,
    seq: Number(row.seq),
    generation: Number(row.generation),
    kind: row.kind as EntryKind,
    name: row.name as string | null,
    at: Number(row.at),
    data: row.data as string,
  }
}
