import type { Format } from '../../core/codec.ts'
import type { Mailbox, Message } from '../store.ts'
import type { Database, Row } from './database.ts'
import type { Sql } from './sql.ts'

/** One statement: the counter and the messages are of one moment. */
export function createMailbox(sql: Sql, database: Database) {
  const { runs, mailbox } = sql.tables
  const select = sql.read(`
    select r.inbox, m.seq, m.kind, m.name, m.format, m.data
    from ${runs} r left join ${mailbox} m on m.run_id = r.id and not m.is_read
    where r.id = $runId::text order by m.seq`)

  return async (runId: string): Promise<Mailbox> => {
    const rows = await database.rows(select, { runId })
    const messages = rows.flatMap((row) => (row.seq === null ? [] : [toMessage(row)]))
    return { inbox: Number(rows[0]?.inbox ?? 0), messages }
  }
}

function toMessage(row: Row): Message {
  const { seq, kind, name, format, data } = row
  return {
    seq: Number(seq),
    kind: kind as Message['kind'],
    name: name as string,
    data: data === null ? null : { format: format as Format, text: data as string },
  }
}
