import type { Database } from './database.ts'
import type { Sql } from './sql.ts'

export function createSetPaused(sql: Sql, database: Database) {
  const { jobs } = sql.tables
  const pause = sql.write(`
    insert into ${jobs} (name, paused) values ($name::text, true)
    on conflict (name) do update set paused = true`)
  const resume = sql.write(`update ${jobs} set paused = false where name = $name::text`)

  return async (name: string, paused: boolean): Promise<void> => {
    await database.change(paused ? pause : resume, { name })
  }
}
