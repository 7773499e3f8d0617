import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { PGlite } from '@electric-sql/pglite'
import { createClient } from '@libsql/client'
import { LibsqlDialect, type LibsqlDialectConfig } from '@libsql/kysely-libsql'
import BetterSqlite from 'better-sqlite3'
import { PGliteDialect, PostgresDialect, SqliteDialect } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import { createClient as createClient08 } from 'libsql-client-08'
import pg from 'pg'
import postgres from 'postgres'
import { postgresDialect } from '../src/postgres.ts'
import { sqliteDialect } from '../src/sqlite.ts'
import { memory, openSql, type Backend, type Connection, type Database } from './backend.ts'

export const backends: readonly Backend[] = [
  memory,
  sqlite('better-sqlite3', (file) => {
    const database = new BetterSqlite(file)
    return { dialect: new SqliteDialect({ database }), close: () => void database.close() }
  }),
  sqlite('better-sqlite3, sqliteDialect', (file) => {
    const database = new BetterSqlite(file)
    return { dialect: sqliteDialect({ database }), close: () => void database.close() }
  }),
  sqlite('node:sqlite, sqliteDialect', (file) => {
    const database = new DatabaseSync(file)
    return { dialect: sqliteDialect({ database }), close: () => database.close() }
  }),
  sqlite('libSQL 0.8', (file) => {
    const client = createClient08({ url: `file:${file}` })
    return { dialect: new LibsqlDialect({ client }), close: () => client.close() }
  }),
  sqlite('libSQL 0.18', (file) => {
    const client = createClient({ url: `file:${file}` })
    // Its types are newer than the ones the dialect was written for; what they say of `execute` is the same.
    const config = { client } as unknown as LibsqlDialectConfig
    return { dialect: new LibsqlDialect(config), close: () => client.close() }
  }),
  { name: 'PGlite', open: openPGlite },
  postgresBackend('PostgreSQL, pg', (options) => {
    const pool = new pg.Pool({ connectionString: postgresUrl(), options, max: 4 })
    return { dialect: new PostgresDialect({ pool }), close: () => pool.end() }
  }),
  postgresBackend('PostgreSQL, postgresDialect', (options) => {
    const pool = new pg.Pool({ connectionString: postgresUrl(), options, max: 4 })
    return { dialect: postgresDialect({ pool }), close: () => pool.end() }
  }),
  postgresBackend('PostgreSQL, postgres.js', (options) => {
    const client = postgres(postgresUrl(), { connection: { options }, max: 4 })
    return { dialect: new PostgresJSDialect({ postgres: client }), close: () => client.end() }
  }),
]

/** A file of its own: the whole of SQLite's locking takes part. */
function sqlite(name: string, connect: (file: string) => Connection): Backend {
  return {
    name,
    open: async () => {
      const folder = mkdtempSync(join(tmpdir(), 'durably-test-'))
      const removeFolder = () => rmSync(folder, { recursive: true, force: true })
      return openSql(() => connect(join(folder, 'test.db')), removeFolder)
    },
  }
}

/** A schema of its own. `connect` gets what makes a connection see only that. */
function postgresBackend(name: string, connect: (options: string) => Connection): Backend {
  return {
    name,
    open: async () => {
      const schema = await createSchema(queryPostgres)
      return openSql(
        () => connect(`-c search_path=${schema}`),
        () => queryPostgres(`drop schema ${schema} cascade`),
      )
    },
  }
}

/** It takes a second to start, so all tests of a file share it; its one connection sees a schema of the test. */
async function openPGlite(): Promise<Database> {
  const pglite = await sharedPGlite()
  const query = async (text: string): Promise<void> => void (await pglite.exec(text))
  const schema = await createSchema(query)
  await query(`set search_path = ${schema}`)
  return openSql(
    () => ({ dialect: new PGliteDialect({ pglite }), close: () => {} }),
    () => query(`drop schema ${schema} cascade`),
  )
}

let startedPGlite: Promise<PGlite> | undefined
function sharedPGlite(): Promise<PGlite> {
  startedPGlite ??= PGlite.create()
  return startedPGlite
}

async function createSchema(query: (text: string) => Promise<void>): Promise<string> {
  const schema = `test_${randomUUID().replaceAll('-', '')}`
  await query(`create schema ${schema}`)
  return schema
}

async function queryPostgres(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl() })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

function postgresUrl(): string {
  const url = process.env.DURABLY_TEST_POSTGRES_URL
  if (url === undefined) throw new Error('DURABLY_TEST_POSTGRES_URL is set by the test setup')
  return url
}
