import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { createClient } from '@libsql/client'
import { LibsqlDialect } from '@libsql/kysely-libsql'
import BetterSqlite from 'better-sqlite3'
import { type Dialect, PGliteDialect, PostgresDialect, SqliteDialect } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import { createClient as createClient08 } from 'libsql-client-08'
import pg from 'pg'
import postgres from 'postgres'
import { createEnv } from '../src/env.ts'
import { createMemoryStore } from '../src/store/memory.ts'
import { createSqlStore } from '../src/store/sql/sql-store.ts'
import type { Store } from '../src/store/store.ts'

/** A database that Durably promises to work on, with the driver to reach it by. */
export interface Backend {
  readonly name: string
  /** A new, empty database. One that cannot be reached is an error, never a reason to skip. */
  open(): Promise<Database>
}

export interface Database {
  /** A way to it of its own, as another process would have; null where there is no dialect. */
  readonly dialect: (() => Dialect) | null
  /** A store on it, with its tables; each call another process's. */
  connect(): Promise<Store>
  close(): Promise<void>
}

export const backends: readonly Backend[] = [
  { name: 'memory', open: openMemory },
  sqlite('better-sqlite3', (file) => {
    const database = new BetterSqlite(file)
    return { dialect: new SqliteDialect({ database }), close: () => database.close() }
  }),
  sqlite('libSQL 0.8', (file) => {
    const client = createClient08({ url: `file:${file}` })
    return { dialect: new LibsqlDialect({ client }), close: () => client.close() }
  }),
  sqlite('libSQL 0.18', (file) => {
    const client = createClient({ url: `file:${file}` })
    return { dialect: new LibsqlDialect({ client }), close: () => client.close() }
  }),
  { name: 'PGlite', open: openPGlite },
  postgresBackend('PostgreSQL, pg', (options) => {
    const pool = new pg.Pool({ connectionString: postgresUrl(), options, max: 4 })
    return { dialect: new PostgresDialect({ pool }), close: () => pool.end() }
  }),
  postgresBackend('PostgreSQL, postgres.js', (options) => {
    const client = postgres(postgresUrl(), { connection: { options }, max: 4 })
    return { dialect: new PostgresJSDialect({ postgres: client }), close: () => client.end() }
  }),
]

/** What one process has of a database. */
interface Connection {
  readonly dialect: Dialect
  close(): void | Promise<void>
}

/** Processes share no memory; here the "other process" is another user of the same store. */
async function openMemory(): Promise<Database> {
  const store = createMemoryStore()
  return { dialect: null, connect: async () => store, close: () => store.close() }
}

/** A file of its own, on a real disk: the whole of SQLite's locking takes part. */
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

/** It takes a second to start and has one connection: all tests of a file, and all their stores, share it. */
async function openPGlite(): Promise<Database> {
  const pglite = await sharedPGlite()
  const query = async (text: string): Promise<void> => void (await pglite.exec(text))
  const schema = await createSchema(query)
  await query(`set search_path = ${schema}`)
  const database = openSql(
    () => ({ dialect: new PGliteDialect({ pglite }), close: () => {} }),
    () => query(`drop schema ${schema} cascade`),
  )
  let store: Promise<Store> | undefined
  return { ...database, connect: () => (store ??= database.connect()) }
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

function openSql(connect: () => Connection, remove: () => void | Promise<void>): Database {
  const closers: (() => void | Promise<void>)[] = [remove]
  const dialect = (): Dialect => {
    const connection = connect()
    closers.unshift(connection.close)
    return connection.dialect
  }
  return {
    dialect,
    connect: async () => {
      const store = storeAtItsTime(dialect())
      closers.unshift(store.close)
      await store.migrate()
      return store
    },
    close: async () => {
      for (const close of closers) await close()
    },
  }
}

/** Moves the clock that leases go by to the time of each call. */
function storeAtItsTime(dialect: Dialect): Store {
  const env = createEnv()
  let offset = 0
  const { store } = createSqlStore({ dialect, env, clockOffset: () => offset })
  const at =
    <T, R>(call: (request: T, now: number) => R) =>
    (request: T, now: number): R => {
      offset = now - env.now()
      return call(request, now)
    }
  return {
    ...store,
    write: at(store.write),
    look: at(store.look),
    reclaim: at(store.reclaim),
    renew: at(store.renew),
  }
}
