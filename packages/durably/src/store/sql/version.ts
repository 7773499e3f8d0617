import type { Store } from '../store.ts'
import type { Database } from './database.ts'
import type { Sql } from './sql.ts'

/** A number that moves when another connection commits; null where there is none, or looking at it is too dear. */
export function createVersion(sql: Sql, database: Database): Store['version'] {
  const select = sql.dataVersion === null ? null : sql.read(sql.dataVersion)
  return async () => {
    if (select === null || !sql.isWatched()) return null
    const [row] = await database.rows(select, {})
    return Number(row?.data_version)
  }
}
