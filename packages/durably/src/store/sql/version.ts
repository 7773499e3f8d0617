import type { Store } from '../store.ts'
import type { Database } from './database.ts'
import type { Sql } from './sql.ts'

/** A number that moves when another connection commits; one that stands still where many machines share the database. */
export function createVersion(sql: Sql, database: Database): Store['version'] {
  if (sql.dataVersion === null) return null
  const select = sql.read(sql.dataVersion)
  return async () => {
    if (sql.isShared()) return 0
    const [row] = await database.rows(select, {})
    return Number(row?.version)
  }
}
