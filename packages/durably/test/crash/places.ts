import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createClient } from '@libsql/client'
import { LibsqlDialect, type LibsqlDialectConfig } from '@libsql/kysely-libsql'
import BetterSqlite from 'better-sqlite3'
import { type Dialect, PostgresDialect, SqliteDialect } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import { postgresDialect } from '../../src/postgres.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import type { Tap } from './kill-points.ts'
import { tapLibsql, tapPool, tapSqlite } from './tapped.ts'

/** The dialect of a process of its own: on a file, or on what a PostgreSQL connection with these options sees. */
type MakeDialect = (at: string, tap: Tap) => Dialect

const onFile = {
  'better-sqlite3': (file, tap) =>
    new SqliteDialect({ database: tapSqlite(new BetterSqlite(file), tap) }),
  'drop-in': (file) => sqliteDialect({ database: new BetterSqlite(file) }),
  'node:sqlite': (file) => sqliteDialect({ database: new DatabaseSync(file) }),
  libsql: (file, tap) => {
    const client = tapLibsql(createClient({ url: `file:${file}` }), tap)
    return new LibsqlDialect({ client } as unknown as LibsqlDialectConfig)
  },
  'libsql-bundled': (file) => new LibsqlDialect({ url: `file:${file}` }),
} satisfies Record<string, MakeDialect>

const onPostgres = {
  postgres: (options, tap) => new PostgresDialect({ pool: tapPool(openPool(options), tap) }),
  'postgres-drop-in': (options) => postgresDialect({ pool: openPool(options) }),
  'postgres.js': (options) =>
    new PostgresJSDialect({
      postgres: postgres(postgresUrl(), { connection: { options }, max: 4 }),
    }),
} satisfies Record<string, MakeDialect>

/** A driver by the name that a child process can be told. */
export type Driver = keyof typeof onFile | keyof typeof onPostgres

export const drivers = [...Object.keys(onFile), ...Object.keys(onPostgres)] as readonly Driver[]

/** A database that several processes open: the driver, and a file or a PostgreSQL schema. */
export interface Place {
  readonly driver: Driver
  readonly at: string
  remove(): Promise<void>
}

export async function createPlace(driver: Driver): Promise<Place> {
  if (driver in onPostgres) return createSchema(driver)
  const folder = mkdtempSync(join(tmpdir(), 'durably-crash-'))
  const remove = async (): Promise<void> => rmSync(folder, { recursive: true, force: true })
  return { driver, at: join(folder, 'test.db'), remove }
}

async function createSchema(driver: Driver): Promise<Place> {
  const schema = `crash_${randomUUID().replaceAll('-', '')}`
  const query = async (text: string): Promise<void> => {
    const pool = new pg.Pool({ connectionString: postgresUrl(), max: 1 })
    await pool.query(text)
    await pool.end()
  }
  await query(`create schema ${schema}`)
  return { driver, at: schema, remove: () => query(`drop schema ${schema} cascade`) }
}

const nothing: Tap = { before: () => {}, after: () => {} }

/** The dialect as a process of its own makes it. */
export function dialectAt({ driver, at }: Pick<Place, 'driver' | 'at'>, tap = nothing): Dialect {
  const make: Readonly<Record<Driver, MakeDialect>> = { ...onFile, ...onPostgres }
  return make[driver](driver in onPostgres ? `-c search_path=${at}` : at, tap)
}

function openPool(options: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: postgresUrl(), options, max: 4 })
  // A server that stops ends its idle connections.
  return pool.on('error', () => {})
}

function postgresUrl(): string {
  const url = process.env.DURABLY_TEST_POSTGRES_URL
  if (url === undefined) throw new Error('DURABLY_TEST_POSTGRES_URL is set by the test setup')
  return url
}
