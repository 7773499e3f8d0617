import {
  CompiledQuery,
  RawNode,
  SelectQueryNode,
  type DatabaseConnection,
  type Driver,
  type QueryId,
} from 'kysely'
import { pause, type Env } from '../../core/env.ts'
import { RejectedWriteError, UnusableStoreError } from '../store.ts'
import type { SqlDialect } from './sql-dialect.ts'
import { bind, type Params, type Statement } from './statement.ts'

export type Row = Readonly<Record<string, unknown>>

/** Where statements run: in a transaction, or each by itself. */
export interface Session {
  rows(statement: Statement, params: Params): Promise<readonly Row[]>
  /** How many rows the statement changed. */
  change(statement: Statement, params: Params): Promise<number>
}

export interface Database extends Session {
  transaction<T>(work: (session: Session) => Promise<T>): Promise<T>
  /** The parameters of `SqlDialect.leaseNow`. */
  leaseTime(now: number): { readonly leaseNow: number | null; readonly skew: number }
}

/** Thrown within a transaction, to have it taken back and begun anew. */
export class BeginAnewError extends Error {}

const MAX_ATTEMPTS = 5
const ATTEMPT_PAUSE_MS = 10

/** `clockOffset` is added to the database's clock where leases go by that. */
export function createDatabase(
  driver: Driver,
  dialect: SqlDialect,
  env: Env,
  clockOffset: (now: number) => number,
): Database {
  async function attempt<T>(work: (connection: DatabaseConnection) => Promise<T>): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      try {
        const connection = await driver.acquireConnection()
        try {
          return await work(connection)
        } finally {
          await driver.releaseConnection(connection)
        }
      } catch (error) {
        const isPassing = error instanceof BeginAnewError || dialect.isConflict(error)
        if (!isPassing || attempts === MAX_ATTEMPTS) throw translate(error, dialect)
      }
      await pause(env, env.random() * ATTEMPT_PAUSE_MS * attempts)
    }
  }
  return {
    rows: (statement, params) => attempt((connection) => rows(connection, statement, params)),
    change: (statement, params) => attempt((connection) => change(connection, statement, params)),
    transaction: (work) =>
      attempt((connection) => transact(driver, connection, dialect.transaction, work)),
    leaseTime: (now) => ({ leaseNow: dialect.isShared() ? null : now, skew: clockOffset(now) }),
  }
}

async function transact<T>(
  driver: Driver,
  connection: DatabaseConnection,
  settings: SqlDialect['transaction'],
  work: (session: Session) => Promise<T>,
): Promise<T> {
  await driver.beginTransaction(connection, settings)
  try {
    const result = await work({
      rows: (statement, params) => rows(connection, statement, params),
      change: (statement, params) => change(connection, statement, params),
    })
    await driver.commitTransaction(connection)
    return result
  } catch (error) {
    // Some errors end the transaction by themselves; the one that led here says more than this one would.
    await driver.rollbackTransaction(connection).catch(() => {})
    throw error
  }
}

async function rows(
  connection: DatabaseConnection,
  statement: Statement,
  params: Params,
): Promise<readonly Row[]> {
  const result = await connection.executeQuery<Row>(query(statement, params))
  return result.rows
}

async function change(
  connection: DatabaseConnection,
  statement: Statement,
  params: Params,
): Promise<number> {
  const { numAffectedRows } = await connection.executeQuery(query(statement, params))
  return Number(numAffectedRows ?? 0)
}

// Drivers tell by the node whether a query needs the write lock, and look at nothing else of it.
const readNode = SelectQueryNode.create()
const writeNode = RawNode.createWithSql('')
const queryId: QueryId = CompiledQuery.raw('').queryId

function query(statement: Statement, params: Params): CompiledQuery {
  const node = statement.readsOnly ? readNode : writeNode
  return { sql: statement.sql, parameters: bind(statement, params), query: node, queryId }
}

const NO_TABLES =
  "Durably's tables are not in this database: await durably.init(), or durably.migrate(), before anything else"

function translate(error: unknown, dialect: SqlDialect): unknown {
  if (dialect.isTableMissing(error))
    return new UnusableStoreError('store', NO_TABLES, { cause: error })
  if (!dialect.isRejected(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return new RejectedWriteError(`The database refused the write: ${message}`, { cause: error })
}
