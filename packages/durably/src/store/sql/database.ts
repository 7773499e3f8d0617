import { CompiledQuery, SelectQueryNode, type Kysely } from 'kysely'
import { pause, type Env } from '../../core/env.ts'
import { RejectedWriteError } from '../store.ts'
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

const MAX_ATTEMPTS = 5
const ATTEMPT_PAUSE_MS = 10

/** `clockOffset` is added to the database's clock where leases go by that. */
export function createDatabase(
  db: Kysely<unknown>,
  dialect: SqlDialect,
  env: Env,
  clockOffset: (now: number) => number,
): Database {
  async function attempt<T>(work: () => Promise<T>): Promise<T> {
    for (let attempts = 1; ; attempts++) {
      try {
        return await work()
      } catch (error) {
        if (!dialect.isConflict(error) || attempts === MAX_ATTEMPTS) throw translate(error, dialect)
      }
      await pause(env, env.random() * ATTEMPT_PAUSE_MS * attempts)
    }
  }
  const single = createSession(db)
  return {
    rows: (statement, params) => attempt(() => single.rows(statement, params)),
    change: (statement, params) => attempt(() => single.change(statement, params)),
    transaction: (work) =>
      attempt(() => {
        const { isolationLevel } = dialect.transaction
        const builder = db.transaction()
        const transaction = isolationLevel ? builder.setIsolationLevel(isolationLevel) : builder
        return transaction.execute((trx) => work(createSession(trx)))
      }),
    leaseTime: (now) => ({ leaseNow: dialect.isShared() ? null : now, skew: clockOffset(now) }),
  }
}

function createSession(executor: Kysely<unknown>): Session {
  return {
    rows: async (statement, params) => {
      const { rows } = await executor.executeQuery(query(statement, params))
      return rows as Row[]
    },
    change: async (statement, params) => {
      const { numAffectedRows } = await executor.executeQuery(query(statement, params))
      return Number(numAffectedRows ?? 0)
    },
  }
}

// Drivers tell by the node whether a query needs the write lock.
const readNode = SelectQueryNode.create()

function query(statement: Statement, params: Params): CompiledQuery {
  const raw = CompiledQuery.raw(statement.sql, bind(statement, params))
  return statement.readsOnly ? { ...raw, query: readNode } : raw
}

function translate(error: unknown, dialect: SqlDialect): unknown {
  if (!dialect.isRejected(error)) return error
  const message = error instanceof Error ? error.message : String(error)
  return new RejectedWriteError(`The database refused the write: ${message}`, { cause: error })
}
