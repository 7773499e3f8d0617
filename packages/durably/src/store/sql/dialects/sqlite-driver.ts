import {
  CompiledQuery,
  SelectQueryNode,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
} from 'kysely'
import type { Env } from '../../../core/env.ts'
import { refuseLibsql } from './refuse-libsql.ts'
import { savepointsOf } from './savepoints.ts'
import { isWithoutTransaction } from './sqlite-errors.ts'
import { createGate } from './sqlite-gate.ts'
import { beginning, beginOf, commit, rollback, wholeRollback } from './transaction-control.ts'

export interface SqliteDriverOptions {
  readonly env: Env
  readonly synchronous: 'full' | 'normal'
}

/** A driver on a database object, which is one connection for all who have it in this process. */
export interface ObjectDriver extends Driver {
  /** Whether others have a transaction open on it: what is written now would be in that, and end as it ends. */
  isTaken(): boolean
}

/** The user's driver with our settings, the write lock first in every transaction, and a fair wait for it. */
export function createSqliteDriver(inner: Driver, options: SqliteDriverOptions): Driver {
  const wrapped = new WeakMap<DatabaseConnection, LockingConnection>()
  const connections = new WeakMap<DatabaseConnection, LockingConnection>()
  const { env } = options
  const { isTaken = () => false } = inner as Partial<ObjectDriver>

  function wrap(connection: DatabaseConnection): LockingConnection {
    const known = wrapped.get(connection)
    if (known !== undefined) return known
    const locking = createLockingConnection(connection, env, isTaken)
    wrapped.set(connection, locking)
    connections.set(locking.connection, locking)
    return locking
  }

  function unwrap(connection: DatabaseConnection): LockingConnection {
    const locking = connections.get(connection)
    if (locking === undefined) throw new Error('This connection is of another driver')
    return locking
  }

  return {
    init: async (initOptions) => {
      await inner.init(initOptions)
      const connection = await inner.acquireConnection(initOptions)
      try {
        await configure(wrap(connection), options.synchronous)
      } finally {
        await inner.releaseConnection(connection)
      }
    },
    acquireConnection: async (acquireOptions) =>
      wrap(await inner.acquireConnection(acquireOptions)).connection,
    releaseConnection: (connection) => {
      const locking = unwrap(connection)
      const release = () => inner.releaseConnection(locking.inner)
      return locking.leave()?.then(release) ?? release()
    },
    beginTransaction: (connection, settings) => unwrap(connection).begin(beginOf(settings)),
    commitTransaction: (connection) => unwrap(connection).commit(),
    rollbackTransaction: (connection) => unwrap(connection).rollback(),
    ...savepointsOf(inner),
    // The database belongs to whoever made it.
    destroy: async () => {},
  }
}

interface LockingConnection {
  readonly inner: DatabaseConnection
  readonly connection: DatabaseConnection
  /** Runs `work` outside of every transaction, once the database is free for it. */
  whenFree<T>(work: () => Promise<T>): Promise<T>
  begin(query: CompiledQuery): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Whoever had it is through with it. */
  leave(): Promise<void> | undefined
}

function createLockingConnection(
  inner: DatabaseConnection,
  env: Env,
  isTaken: () => boolean,
): LockingConnection {
  const gate = createGate(env, async () => {
    const { rows } = await inner.executeQuery<{ data_version: number }>(dataVersion)
    return Number(rows[0]?.data_version)
  })
  const leavings = createLeavings(inner)
  let isOpen = false

  /** What is written outside of our transactions must not get into one of someone else. */
  function alone<T>(work: () => Promise<T>): Promise<T> {
    return isTaken() ? Promise.reject(takenError()) : leavings.clear(work)
  }

  function executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (isOpen) return inner.executeQuery<R>(query)
    const execute = () => leavings.note(query, inner.executeQuery<R>(query))
    return SelectQueryNode.is(query.query)
      ? gate.retry(() => leavings.clear(execute))
      : gate.enter(() => alone(execute))
  }

  return {
    inner,
    connection: {
      executeQuery,
      streamQuery: (query, chunkSize) => inner.streamQuery(query, chunkSize),
    },
    whenFree: (work) => gate.retry(() => alone(work)),
    begin: async (query) => {
      await gate.enter(() => alone(() => inner.executeQuery(query)))
      isOpen = true
    },
    commit: async () => {
      await gate.retry(() => inner.executeQuery(commit))
      isOpen = false
    },
    rollback: async () => {
      isOpen = false
      // Some errors end the transaction by themselves; the one that led here says more than this one would.
      await leavings.rollBack().catch(() => {})
    },
    leave: leavings.leave,
  }
}

/** Transactions that are open though nobody is to go on in them: what is acknowledged, or read, in one would not be so. */
interface Leavings {
  rollBack(): Promise<void>
  /** Does `work` once there are none. */
  clear<T>(work: () => Promise<T>): Promise<T>
  /** Of what goes well outside of our transactions: someone may begin or end one by hand. */
  note<T>(query: CompiledQuery, executing: Promise<T>): Promise<T>
  /** Nobody can end any more what was begun by hand. */
  leave(): Promise<void> | undefined
}

const commitment = /^\s*(commit|end)\b/i

function isControl(sql: string): boolean {
  return beginning.test(sql) || commitment.test(sql) || wholeRollback.test(sql)
}

function createLeavings(connection: DatabaseConnection): Leavings {
  let isLeft = false
  let isByHand = false

  async function rollBack(): Promise<void> {
    try {
      await connection.executeQuery(rollback)
      isLeft = false
    } catch (error) {
      isLeft = !isWithoutTransaction(error)
      throw error
    }
  }

  async function rollBackFirst<T>(work: () => Promise<T>): Promise<T> {
    await rollBack().catch((error: unknown) => {
      if (isLeft) throw error
    })
    return work()
  }

  async function noteOnceDone<T>(sql: string, executing: Promise<T>): Promise<T> {
    const result = await executing
    isByHand = beginning.test(sql)
    return result
  }

  return {
    rollBack,
    clear: (work) => (isLeft ? rollBackFirst(work) : work()),
    note: ({ sql }, executing) => (isControl(sql) ? noteOnceDone(sql, executing) : executing),
    leave() {
      if (!isByHand) return undefined
      isByHand = false
      return rollBack().catch(() => {})
    },
  }
}

/** As if another connection had the lock: it may be free in a moment. */
function takenError(): Error {
  const error = new Error('A transaction is open on the database object that Durably was given')
  return Object.assign(error, { code: 'SQLITE_BUSY' })
}

const dataVersion = CompiledQuery.raw('pragma data_version')

async function configure(
  { inner, whenFree }: LockingConnection,
  synchronous: SqliteDriverOptions['synchronous'],
): Promise<void> {
  const pragma = (text: string) =>
    whenFree(() => inner.executeQuery<Row>(CompiledQuery.raw(`pragma ${text}`)))
  await whenFree(() => refuseLibsql(inner))
  // Waiting inside SQLite would block the event loop, and starve other processes.
  await pragma('busy_timeout = 0')
  const { rows } = await pragma('journal_mode')
  if (rows[0]?.journal_mode !== 'wal') await pragma('journal_mode = wal')
  await pragma(`synchronous = ${synchronous}`)
  // Only macOS tells the two ways to flush apart.
  await pragma(`fullfsync = ${synchronous === 'full' ? 1 : 0}`)
}

type Row = Readonly<Record<string, unknown>>
