import {
  CompiledQuery,
  SelectQueryNode,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type QueryResult,
} from 'kysely'
import { requireFunctions } from '../../../core/options.ts'
import { requireOptions } from '../../../core/require-object.ts'
import { libsqlOnly } from './refuse-libsql.ts'
import type { ObjectDriver } from './sqlite-driver.ts'
import { beginOf, commit, endedError, rollback, wholeRollback } from './transaction-control.ts'
import { createTurns } from './turns.ts'

/** A database of better-sqlite3, libsql or bun:sqlite, or a `DatabaseSync` of node:sqlite. */
export interface SqliteDatabase {
  prepare(sql: string): SqliteStatement
  exec(sql: string): unknown
  /** Whether a transaction is open, no matter who began it: better-sqlite3's name for it, and node:sqlite's. */
  readonly inTransaction?: boolean
  readonly isTransaction?: boolean
}

export interface SqliteStatement {
  /** Whether it returns rows. Without this property, a statement with columns does. Node before 22.16 has neither. */
  readonly reader?: boolean
  columns?(): readonly unknown[]
  all(...parameters: unknown[]): unknown[]
  run(...parameters: unknown[]): {
    readonly changes: number | bigint
    readonly lastInsertRowid: number | bigint
  }
  iterate(...parameters: unknown[]): Iterable<unknown>
}

/**
 * A Kysely dialect that prepares each statement once. Closing Durably or Kysely leaves the database open. Throws
 * `ValidationError` if `database` is not an open database.
 *
 * @example
 * const durably = createDurably({ dialect: sqliteDialect({ database: new SQLite('app.db') }) })
 */
export function sqliteDialect(options: { readonly database: SqliteDatabase }): Dialect {
  requireOptions(options, { database: true }, 'sqliteDialect({ database }): ')
  const { database } = options
  requireFunctions(database, 'database', ['prepare'])
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => createDriver(database),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}

function createDriver(database: SqliteDatabase): ObjectDriver {
  const { connection, isTaken, hasEnded, renew } = createConnection(database)
  const connected = Promise.resolve(connection)
  const turns = createTurns()
  const say = async (query: CompiledQuery) => {
    await connection.executeQuery(query)
  }
  return {
    isTaken,
    init: async () => {},
    acquireConnection: () => turns.take()?.then(() => connection) ?? connected,
    beginTransaction: (_, settings) => say(beginOf(settings)),
    commitTransaction: () => say(commit),
    rollbackTransaction: () => (hasEnded() ? done : say(rollback)),
    savepoint: (_, name) => say(CompiledQuery.raw(`savepoint ${quote(name)}`)),
    rollbackToSavepoint: (_, name) => say(CompiledQuery.raw(`rollback to ${quote(name)}`)),
    releaseSavepoint: (_, name) => say(CompiledQuery.raw(`release ${quote(name)}`)),
    releaseConnection: () => {
      renew()
      turns.pass()
      return done
    },
    destroy: async () => {},
  }
}

const done = Promise.resolve()

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

interface OpenedObject {
  readonly connection: DatabaseConnection
  isTaken(): boolean
  /** Whether a transaction that was begun here was ended by an error. */
  hasEnded(): boolean
  /** Whoever had the connection is through with it. */
  renew(): void
}

function createConnection(database: SqliteDatabase): OpenedObject {
  const { prepare, forget } = createCache(database)
  let isOurs = false
  /** An error has ended a transaction that was begun here: the rest of it is not to be written alone. */
  let hasEnded = false

  const run: Execute = ({ sql, parameters }) => {
    try {
      return prepare(sql)(parameters)
    } catch (error) {
      if (!isFinalized(error)) throw error
      forget()
      // The transaction that it was to be part of is gone, too.
      if (isOurs) throw error
      return prepare(sql)(parameters)
    }
  }
  const execute = leavesStatementsOpen(database) ? createCareful(database, run) : run

  /** Knows afterwards whether an open transaction was begun here. */
  function executeAndNote(query: CompiledQuery): QueryResult<unknown> {
    if (hasEnded && !wholeRollback.test(query.sql)) throw endedError()
    try {
      const result = execute(query)
      if (control.test(query.sql)) isOurs = isInTransaction(database)
      return result
    } catch (error) {
      const wasOurs = isOurs
      if (wasOurs) isOurs = isInTransaction(database)
      hasEnded = wasOurs && !isOurs && !wholeRollback.test(query.sql)
      throw error
    }
  }

  return {
    connection: {
      executeQuery: async <R>(query: CompiledQuery) => executeAndNote(query) as QueryResult<R>,
      // A statement that is being iterated over is of no use to others: it is not taken from the cache.
      async *streamQuery<R>({ sql, parameters }: CompiledQuery) {
        for (const row of database.prepare(sql).iterate(...parameters)) yield { rows: [row as R] }
      },
    },
    isTaken: () => !isOurs && isInTransaction(database),
    hasEnded: () => hasEnded,
    renew() {
      hasEnded = false
    },
  }
}

/** False as well where the database does not tell. */
function isInTransaction({ inTransaction, isTransaction }: SqliteDatabase): boolean {
  return inTransaction ?? isTransaction ?? false
}

type Execute = (query: CompiledQuery) => QueryResult<unknown>

type Prepared = (parameters: readonly unknown[]) => QueryResult<unknown>

const MAX_STATEMENTS = 200

interface Cache {
  prepare(sql: string): Prepared
  /** All of them. */
  forget(): void
}

/** Keeps the statements that were used last: those of late, and until there are as many again, those before them. */
function createCache(database: SqliteDatabase): Cache {
  let late = new Map<string, Prepared>()
  let before = late
  return {
    prepare: (sql) => {
      const known = late.get(sql)
      if (known !== undefined) return known
      const statement = before.get(sql) ?? prepareOn(database, sql)
      if (late.size === MAX_STATEMENTS / 2) {
        before = late
        late = new Map()
      }
      late.set(sql, statement)
      return statement
    },
    forget: () => {
      late = new Map()
      before = late
    },
  }
}

/** Its database was closed, and perhaps opened again. */
function isFinalized(error: unknown): boolean {
  return error instanceof Error && error.message.includes('statement has been finalized')
}

function prepareOn(database: SqliteDatabase, sql: string): Prepared {
  const statement = database.prepare(sql)
  const { reader } = statement
  // libsql takes a null that stands alone for an object of named parameters; node:sqlite takes no array.
  const spread = (parameters: readonly unknown[]) =>
    reader === undefined ? parameters : [parameters]
  const all = (parameters: readonly unknown[]) => statement.all(...spread(parameters))
  const returnsRows = reader ?? (statement.columns && statement.columns().length > 0)
  if (returnsRows === undefined) return (parameters) => withChanges(database, all(parameters))
  if (returnsRows) return (parameters) => ({ rows: all(parameters) })
  return (parameters) => {
    const { changes, lastInsertRowid } = statement.run(...spread(parameters))
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
  }
}

/** Of a statement that does not tell whether it returns rows: if none came, it may have changed some. */
function withChanges(database: SqliteDatabase, rows: unknown[]): QueryResult<unknown> {
  if (rows.length > 0) return { rows }
  const asked = database.prepare('select changes() as changes, last_insert_rowid() as id').all()
  const [{ changes, id }] = asked as [Readonly<Record<'changes' | 'id', number | bigint>>]
  return { rows, numAffectedRows: BigInt(changes), insertId: BigInt(id) }
}

/** libsql does not reset a statement that met a lock; only it synchronises with a server. */
function leavesStatementsOpen(database: SqliteDatabase): boolean {
  return 'sync' in database
}

const control = /^\s*(begin|commit|end|rollback|savepoint|release)\b/i
const pragma = /^pragma\b/i

/**
 * Asks for locks by `exec` alone, which leaves nothing open. An open statement would keep the next transaction from
 * committing, and let what is written outside of one be lost though it was acknowledged.
 */
function createCareful(database: SqliteDatabase, run: Execute): Execute {
  function runAlone(query: CompiledQuery): QueryResult<unknown> {
    database.exec('begin immediate')
    try {
      const result = run(query)
      database.exec('commit')
      return result
    } catch (error) {
      // Some errors end it by themselves; this one says more than one of this would.
      if (isInTransaction(database)) database.exec('rollback')
      throw error
    }
  }

  return (query) => {
    const { sql } = query
    const [, verb] = control.exec(sql) ?? []
    if (verb !== undefined) {
      database.exec(sql)
      return { rows: [] }
    }
    // Whoever asks whether it needs care, through a dialect around this one perhaps: not any more.
    if (sql === libsqlOnly) throw new Error('Care is taken')
    const isAlone =
      !isInTransaction(database) && !SelectQueryNode.is(query.query) && !pragma.test(sql)
    return isAlone ? runAlone(query) : run(query)
  }
}
