import { createRequire } from 'node:module'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
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

/** `DatabaseSync` of a Node before 22.16, whose statements do not tell whether they return rows. */
export function openUntold(file: string): Closable {
  const database = new DatabaseSync(file)
  return {
    prepare(text) {
      const statement = database.prepare(text)
      return {
        all: (...parameters) => statement.all(...(parameters as SQLInputValue[])),
        run: (...parameters) => statement.run(...(parameters as SQLInputValue[])),
        iterate: (...parameters) => statement.iterate(...(parameters as SQLInputValue[])),
      }
    },
    exec: (text) => database.exec(text),
    get isTransaction() {
      return database.isTransaction
    },
    close: () => database.close(),
  }
}
