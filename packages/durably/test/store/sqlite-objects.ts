import { createRequire } from 'node:module'
import { DatabaseSync } from 'node:sqlite'
import BetterSqlite from 'better-sqlite3'
import type { SqliteDatabase } from '../../src/sqlite.ts'

type Closable = SqliteDatabase & { close(): unknown }

// A dependency of the client, and found from there.
const nearClient = createRequire(createRequire(import.meta.url).resolve('@libsql/client'))
const Libsql = nearClient('libsql') as new (file: string) => Closable

/** What `sqliteDialect` takes, by name. */
export const sqliteObjects: readonly [string, (file: string) => Closable][] = [
  ['better-sqlite3', (file) => new BetterSqlite(file)],
  ['node:sqlite', (file) => new DatabaseSync(file)],
  ['libsql', (file) => new Libsql(file)],
]
