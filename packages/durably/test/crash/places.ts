import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@libsql/client'
import { LibsqlDialect, type LibsqlDialectConfig } from '@libsql/kysely-libsql'
import BetterSqlite from 'better-sqlite3'
import { type Dialect, PostgresDialect, SqliteDialect } from 'kysely'
import pg from 'pg'
import { sqliteDialect } from '../../src/sqlite.ts'
import type { Tap } from './kill-points.ts'
import { tapLibsql, tapPool, tapSqlite } from './tapped.ts'

/** A driver by the name that a child process can be told. */
export type Driver = 'better-sqlite3' | 'drop-in' | 'libsql' | 'libsql-bundled' | 'postgres'

/** A database that several processes open: the driver, and a file or a PostgreSQL schema. */
export interface Place {
  readonly driver: Driver
  readonly at: string
  remove(): Promise<void>
}

export async function createPlace(driver: Driver): Promise<Place> {
  if (driver === 'postgres') return createSchema()
  const folder = mkdtempSync(join(tmpdir(), 'durably-crash-'))
  const remove = async (): Promise<void> => rmSync(folder, { recursive: true, force: true })
  return { driver, at: join(folder, 'test.db'), remove }
}

async function createSchema(): Promise<Place> {
  const schema = `crash_${randomUUID().replaceAll('-', '')}`
  const query = async (text: string): Promise<void> => {
    const pool = new pg.Pool({ connectionString: postgresUrl(), max: 1 })
    await pool.query(text)
    await pool.end()
  }
  await query(`create schema ${schema}`)
  return { driver: 'postgres', at: schema, remove: () => query(`drop schema ${schema} cascade`) }
}

const nothing: Tap = { before: () => {}, after: () => {} }

/** The dialect as a process of its own makes it. */
export function dialectAt({ driver, at }: Pick<Place, 'driver' | 'at'>, tap = nothing): Dialect {
  switch (driver) {
    case 'better-sqlite3':
      return new SqliteDialect({ database: tapSqlite(new BetterSqlite(at), tap) })
    case 'drop-in':
      return sqliteDialect({ database: new BetterSqlite(at) })
    case 'libsql':
      return new LibsqlDialect({
        client: tapLibsql(createClient({ url: `file:${at}` }), tap),
      } as unknown as LibsqlDialectConfig)
    case 'libsql-bundled':
      return new LibsqlDialect({ url: `file:${at}` })
    case 'postgres': {
      const options = `-c search_path=${at}`
      const pool = new pg.Pool({ connectionString: postgresUrl(), options, max: 4 })
      // A server that stops ends its idle connections.
      pool.on('error', () => {})
      return new PostgresDialect({ pool: tapPool(pool, tap) })
    }
  }
}

function postgresUrl(): string {
  const url = process.env.DURABLY_TEST_POSTGRES_URL
  if (url === undefined) throw new Error('DURABLY_TEST_POSTGRES_URL is set by the test setup')
  return url
}
