import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DurablyOptions } from '@coji/durably'
import { postgresDialect, postgresWakeups } from '@coji/durably/postgres'
import { sqliteDialect } from '@coji/durably/sqlite'
import { createClient } from '@libsql/client'
import { LibsqlDialect } from '@libsql/kysely-libsql'
import Sqlite from 'better-sqlite3'
import { PostgresDialect, SqliteDialect, type Dialect } from 'kysely'
import LibSqlite from 'libsql'
import pg from 'pg'
import { startPostgres } from '../packages/durably/test/postgres-server.ts'
import type { Work } from './rounds.ts'

/** A database to measure on, with raw controls on the same driver and the same durability. */
export interface Database {
  readonly name: string
  readonly kind: 'sqlite' | 'libsql' | 'postgres'
  /** What a commit promises here, as the database itself says. */
  readonly durability: string
  /** What `count` rows cost with one commit each, on one connection. */
  readonly rawCommits: Work
  /** The same on eight connections; absent where there is only one. */
  readonly rawParallelCommits: Work | null
  /** What `count` rows cost in groups of 100 to a commit. */
  readonly rawGroups: Work
  /** Runs SQL of the benchmark's own. */
  exec(sql: string): Promise<void>
  /** A dialect as an app makes it; each call another connection or pool. */
  dialect(): Dialect
  /** The same, where processes are to hear of each other. */
  shared(): Shared
  /** The name of the setup for a process that is to open the same database. */
  readonly address: string
  close(): Promise<void>
}

/** What `createDurably` is given where several processes share a database. */
export type Shared = Pick<DurablyOptions, 'dialect' | 'wakeups'>

const GROUP = 100
// As large as what a small step writes to the journal.
const DATA = JSON.stringify({ index: 0, duration: 0, output: 'x'.repeat(40) })
const TABLE =
  'create table raw_rows (run_id text, seq integer, data text, primary key (run_id, seq))'

/** For another process on the same database. */
export function sharedAt(address: string): Shared {
  const at = address.indexOf(':')
  const [setup, place] = [address.slice(0, at), address.slice(at + 1)]
  switch (setup) {
    case 'kysely':
      return { dialect: new SqliteDialect({ database: new Sqlite(place) }) }
    case 'drop-in':
      return { dialect: sqliteDialect({ database: new Sqlite(place) }) }
    case 'libsql':
      return {
        dialect: new LibsqlDialect({ client: createClient({ url: `file:${place}` }) as never }),
      }
    case 'postgres-kysely': {
      const pool = poolAt(place)
      return { dialect: new PostgresDialect({ pool }), wakeups: postgresWakeups(pool) }
    }
    case 'postgres-drop-in':
      return { dialect: postgresDialect({ pool: poolAt(place) }) }
    default:
      throw new Error(`no database at "${address}"`)
  }
}

/** A pool of connections that the server ends, which is no error when it stops. */
function poolAt(connectionString: string, max = 10): pg.Pool {
  return new pg.Pool({ connectionString, max }).on('error', () => {})
}

export type SqliteSetup = 'kysely' | 'drop-in'

export function openSqlite(setup: SqliteSetup): Database {
  const folder = mkdtempSync(join(tmpdir(), 'durably-bench-'))
  const path = join(folder, 'bench.db')
  // A file of its own: to whoever shares a file, the control's commits would be another process's.
  const raw = new Sqlite(`${path}-control`)
  raw.exec('pragma journal_mode = wal; pragma synchronous = full')
  raw.exec(`${TABLE} without rowid`)
  const address = `${setup}:${path}`
  return {
    name: `better-sqlite3, ${setup === 'kysely' ? "Kysely's dialect" : 'our dialect'}`,
    kind: 'sqlite',
    durability: `journal_mode=wal synchronous=${String(raw.pragma('synchronous', { simple: true }))} (2 = FULL)`,
    ...rawSqlite(raw),
    exec: (sql) => execute(new Sqlite(path), sql),
    dialect: () => sharedAt(address).dialect,
    shared: () => sharedAt(address),
    address,
    async close() {
      raw.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** What the controls need of better-sqlite3, and of libsql, which has the same interface. */
interface SqliteLike {
  prepare(sql: string): { run(...parameters: unknown[]): unknown }
  exec(sql: string): unknown
}

function rawSqlite(
  raw: SqliteLike,
): Pick<Database, 'rawCommits' | 'rawGroups' | 'rawParallelCommits'> {
  const insert = raw.prepare('insert into raw_rows values (?, ?, ?)')
  let block = 0
  return {
    rawParallelCommits: null,
    async rawCommits(count) {
      const id = `commit ${block++}`
      for (let i = 0; i < count; i++) insert.run(id, i, DATA)
    },
    async rawGroups(count) {
      const id = `group ${block++}`
      for (let i = 0; i < count; i += GROUP) {
        raw.exec('begin immediate')
        for (let j = i; j < i + GROUP; j++) insert.run(id, j, DATA)
        raw.exec('commit')
      }
    },
  }
}

/** Its own connection for each: large fills are over, and forgotten, before anything is measured. */
async function execute(database: SqliteLike & { close(): unknown }, sql: string): Promise<void> {
  database.exec(sql)
  database.close()
}

export function openLibsql(): Database {
  const folder = mkdtempSync(join(tmpdir(), 'durably-bench-'))
  const path = join(folder, 'bench.db')
  const address = `libsql:${path}`
  const raw = new LibSqlite(`${path}-control`)
  raw.exec('pragma journal_mode = wal')
  raw.exec('pragma synchronous = full')
  raw.exec(`${TABLE} without rowid`)
  return {
    name: '@libsql/client',
    kind: 'libsql',
    durability: 'journal_mode=wal synchronous=full',
    ...rawSqlite(raw),
    exec: (sql) => execute(new LibSqlite(path), sql),
    dialect: () => sharedAt(address).dialect,
    shared: () => sharedAt(address),
    address,
    async close() {
      raw.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export type PostgresSetup = 'kysely' | 'drop-in'

export async function openPostgres(setup: PostgresSetup): Promise<Database> {
  const server = await startPostgres()
  const url = server.url
  const single = poolAt(url, 1)
  const eight = poolAt(url, 8)
  await single.query(TABLE)
  const { rows } = await single.query<{ fsync: string; commit: string }>(
    `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit`,
  )
  const address = `postgres-${setup}:${url}`
  return {
    name: `PostgreSQL, ${setup === 'kysely' ? "Kysely's dialect" : 'our dialect'}`,
    kind: 'postgres',
    durability: `fsync=${rows[0]?.fsync} synchronous_commit=${rows[0]?.commit}`,
    ...rawPostgres(single, eight),
    exec: async (sql) => void (await single.query(sql)),
    dialect: () => sharedAt(address).dialect,
    shared: () => sharedAt(address),
    address,
    async close() {
      await Promise.all([single.end(), eight.end()])
      await server.stop()
    },
  }
}

function rawPostgres(
  single: pg.Pool,
  eight: pg.Pool,
): Pick<Database, 'rawCommits' | 'rawGroups' | 'rawParallelCommits'> {
  const insert = { name: 'raw', text: 'insert into raw_rows values ($1, $2, $3)' }
  const group = {
    name: 'group',
    text: 'insert into raw_rows select $1, i, $4 from generate_series($2::int, $3::int) i',
  }
  let block = 0
  return {
    async rawCommits(count) {
      const id = `commit ${block++}`
      for (let i = 0; i < count; i++) await single.query({ ...insert, values: [id, i, DATA] })
    },
    async rawParallelCommits(count) {
      const id = `parallel ${block++}`
      let next = 0
      const work = async (): Promise<void> => {
        for (let i = next++; i < count; i = next++) {
          await eight.query({ ...insert, values: [id, i, DATA] })
        }
      }
      await Promise.all(Array.from({ length: 8 }, work))
    },
    async rawGroups(count) {
      const id = `group ${block++}`
      for (let i = 0; i < count; i += GROUP) {
        await single.query({ ...group, values: [id, i, i + GROUP - 1, DATA] })
      }
    },
  }
}
