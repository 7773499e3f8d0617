import { createRequire } from 'node:module'
import { createClient } from '@libsql/client'
import { LibsqlDialect, type LibsqlDialectConfig } from '@libsql/kysely-libsql'
import { SqliteDialect, type Dialect, type Driver, type SqliteDatabase } from 'kysely'
import { createClient as createClient08 } from 'libsql-client-08'
import { expect, onTestFinished, test } from 'vitest'
import { ValidationError } from '../../src/core/error.ts'
import { createEnv } from '../../src/env.ts'
import { sqliteDialect, type SqliteDatabase as OwnDatabase } from '../../src/sqlite.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import { newRun, nothing, START } from '../conformance/store/scenario.ts'
import { queryElsewhere } from './other-process.ts'
import { newFile, openStore } from './sqlite-file.ts'

/** A dialect of the app around another one, as for logging: it shows nothing of what it leads to. */
function around(dialect: Dialect): Dialect {
  return {
    createAdapter: () => dialect.createAdapter(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createDriver: () => {
      const inner = dialect.createDriver()
      const driver: Driver = {
        init: () => inner.init(),
        acquireConnection: () => inner.acquireConnection(),
        beginTransaction: (...args) => inner.beginTransaction(...args),
        commitTransaction: (...args) => inner.commitTransaction(...args),
        rollbackTransaction: (...args) => inner.rollbackTransaction(...args),
        releaseConnection: (...args) => inner.releaseConnection(...args),
        destroy: () => inner.destroy(),
      }
      return driver
    },
  }
}

interface Closable {
  close(): void
}

// Dependencies of the clients, and found from there.
const here = createRequire(import.meta.url)
function openNative(client: string, file: string): SqliteDatabase & OwnDatabase & Closable {
  const Libsql = createRequire(here.resolve(client))('libsql') as new (
    file: string,
  ) => SqliteDatabase & OwnDatabase & Closable
  const database = new Libsql(file)
  onTestFinished(() => database.close())
  return database
}

function openClient(create: typeof createClient | typeof createClient08, file: string): Dialect {
  const client = create({ url: `file:${file}` })
  onTestFinished(() => client.close())
  return new LibsqlDialect({ client } as LibsqlDialectConfig)
}

const unsafe: readonly [string, (file: string) => Dialect][] = [
  [
    "Kysely's SqliteDialect over libsql 0.3",
    (file) => new SqliteDialect({ database: openNative('libsql-client-08', file) }),
  ],
  [
    "Kysely's SqliteDialect over libsql 0.5",
    (file) => new SqliteDialect({ database: openNative('@libsql/client', file) }),
  ],
  ['a dialect around LibsqlDialect 0.8', (file) => around(openClient(createClient08, file))],
  ['a dialect around LibsqlDialect 0.18', (file) => around(openClient(createClient, file))],
]

test.each(unsafe)('%s is refused, each time, before anything is written', async (_, open) => {
  const file = newFile()
  const { store } = createSqlStore({ dialect: open(file), env: createEnv() })
  for (const asking of [store.migrate(), store.runs({})]) {
    await expect(asking).rejects.toThrow(ValidationError)
    await expect(asking).rejects.toThrow(
      /LibsqlDialect\(\{ client \}\).*sqliteDialect\(\{ database/,
    )
  }
  expect(queryElsewhere(file, 'select name from sqlite_schema')).toEqual([])
})

test('a dialect around sqliteDialect is as careful with libsql', async () => {
  const file = newFile()
  const database = openNative('@libsql/client', file)
  const { store } = await openStore(around(sqliteDialect({ database })))
  await store.write({ ...nothing, runs: [newRun('a')] }, START)
  expect(queryElsewhere(file, 'select id from durably_runs')).toEqual([{ id: 'a' }])
})
