import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LibsqlDialectConfig } from '@libsql/kysely-libsql'
import type { Database } from 'better-sqlite3'
import { type Dialect, PostgresDialect, SqliteDialect } from 'kysely'
import type pg from 'pg'
import { postgresDialect } from '../../src/postgres.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import type { Tap } from './kill-points.ts'
import { tapLibsql, tapPool, tapSqlite } from './tapped.ts'

/**
 * The dialect of a process of its own: on a file, or on what a PostgreSQL connection with these options sees. Its driver
 * is loaded here: hundreds of processes are started, and all drivers take as long as the rest of a process together.
 */
type MakeDialect = (at: string, tap: Tap) => Promise<Dialect>

const onFile = {
  'better-sqlite3': async (file, tap) =>
    new SqliteDialect({ database: tapSqlite(await openBetterSqlite(file), tap) }),
  'drop-in': async (file) => sqliteDialect({ database: await openBetterSqlite(file) }),
  'node:sqlite': async (file) => {
    const { DatabaseSync } = await import('node:sqlite')
    return sqliteDialect({ database: new DatabaseSync(file) })
  },
  libsql: async (file, tap) => {
    const { createClient } = await import('@libsql/client')
    const { LibsqlDialect } = await import('@libsql/kysely-libsql')
    const client = tapLibsql(createClient({ url: `file:${file}` }), tap)
    return new LibsqlDialect({ client } as unknown as LibsqlDialectConfig)
  },
  'libsql-bundled': async (file) => {
    const { LibsqlDialect } = await import('@libsql/kysely-libsql')
    return new LibsqlDialect({ url: `file:${file}` })
  },
} satisfies Record<string, MakeDialect>

const onPostgres = {
  postgres: async (options, tap) =>
    new PostgresDialect({ pool: tapPool(await openPool(options), tap) }),
  'postgres-drop-in': async (options) => postgresDialect({ pool: await openPool(options) }),
  'postgres.js': async (options) => {
    const { default: postgres } = await import('postgres')
    const { PostgresJSDialect } = await import('kysely-postgres-js')
    return new PostgresJSDialect({
      postgres: postgres(postgresUrl(), { connection: { options }, max: 4 }),
    })
  },
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
    const { default: pg } = await import('pg')
    const pool = new pg.Pool({ connectionString: postgresUrl(), max: 1 })
    await pool.query(text)
    await pool.end()
  }
  await query(`create schema ${schema}`)
  return { driver, at: schema, remove: () => query(`drop schema ${schema} cascade`) }
}

const nothing: Tap = { before: () => {}, after: () => {} }

/** The dialect as a process of its own makes it. */
export function dialectAt(
  { driver, at }: Pick<Place, 'driver' | 'at'>,
  tap = nothing,
): Promise<Dialect> {
  const make: Readonly<Record<Driver, MakeDialect>> = { ...onFile, ...onPostgres }
  return make[driver](driver in onPostgres ? `-c search_path=${at}` : at, tap)
}

async function openBetterSqlite(file: string): Promise<Database> {
  const { default: BetterSqlite } = await import('better-sqlite3')
  return new BetterSqlite(file)
}

async function openPool(options: string): Promise<pg.Pool> {
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({ connectionString: postgresUrl(), options, max: 4 })
  // A server that stops ends its idle connections.
  return pool.on('error', () => {})
}

function postgresUrl(): string {
  const url = process.env.DURABLY_TEST_POSTGRES_URL
  if (url === undefined) throw new Error('DURABLY_TEST_POSTGRES_URL is set by the test setup')
  return url
}
