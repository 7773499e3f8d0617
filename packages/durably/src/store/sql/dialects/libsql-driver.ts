import {
  SelectQueryNode,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
} from 'kysely'
import type { Env } from '../../../core/env.ts'
import { createGate, type Gate } from './sqlite-gate.ts'
import { createTurns } from './turns.ts'

/** What is used of a libSQL client. */
export interface LibsqlClient {
  readonly protocol: string
  execute(statement: string): Promise<LibsqlResult>
  transaction(mode: 'deferred'): Promise<LibsqlTransaction>
}

interface LibsqlTransaction {
  readonly closed: boolean
  execute(statement: string | { sql: string; args: readonly unknown[] }): Promise<LibsqlResult>
  executeMultiple(sql: string): Promise<void>
  close(): void
}

interface LibsqlResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly rowsAffected: number
  readonly lastInsertRowid?: bigint | undefined
}

/** The libSQL client behind a driver, or null when the driver is of another kind. */
export function clientOf(driver: Driver): LibsqlClient | null {
  const { client } = driver as { client?: Partial<LibsqlClient> & { executeMultiple?: unknown } }
  const isClient =
    typeof client?.protocol === 'string' && typeof client.executeMultiple === 'function'
  return isClient ? (client as LibsqlClient) : null
}

export interface HeldDriverOptions {
  readonly env: Env
  readonly tablePrefix: string
  readonly synchronous: 'full' | 'normal'
}

/**
 * The driver of a local file. Statements of the client that met SQLITE_BUSY stay open until they are garbage-collected;
 * until then what their connection acknowledges may not be durable. So one connection is held for good, always inside
 * a transaction without locks, and takes the write lock by the one call that leaves nothing open.
 */
export function createHeldDriver(
  userDriver: Driver,
  client: LibsqlClient,
  options: HeldDriverOptions,
): Driver {
  const held = createHeldConnection(client, options)
  const turns = createTurns()
  return {
    init: () => userDriver.init(),
    acquireConnection: async () => {
      await turns.take()
      return held
    },
    beginTransaction: (_connection, { accessMode }) => held.begin(accessMode === 'read only'),
    commitTransaction: () => held.commit(),
    rollbackTransaction: () => held.rollback(),
    releaseConnection: async () => turns.pass(),
    destroy: async () => {
      held.close()
      // Closes the client if the dialect made it, not if the user did.
      await userDriver.destroy()
    },
  }
}

interface HeldConnection extends DatabaseConnection {
  /** Holds the write lock, or for `readsOnly` a snapshot, until the end of the transaction. */
  begin(readsOnly: boolean): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  close(): void
}

function createHeldConnection(
  client: LibsqlClient,
  { env, tablePrefix, synchronous }: HeldDriverOptions,
): HeldConnection {
  let handle: LibsqlTransaction | null = null
  let isInTransaction = false
  const gate = createGate(env, readVersion)

  /** The connection, opened again if someone closed it. */
  async function connection(): Promise<LibsqlTransaction> {
    if (handle === null || handle.closed) handle = await open(client, gate, synchronous)
    return handle
  }

  /** Takes the write lock and changes nothing. It must come first in the transaction: a read fixes the snapshot. */
  async function lock(): Promise<void> {
    const h = await connection()
    const sql = `delete from "${tablePrefix}lock" where 0`
    await gate
      .enter(() => h.executeMultiple(sql))
      .catch(async (error: unknown) => {
        if (!isMissingTable(error)) throw error
        await gate.retry(() =>
          h.executeMultiple(`create table if not exists "${tablePrefix}lock" (x)`),
        )
        await end('commit')
        await gate.enter(() => h.executeMultiple(sql))
      })
  }

  /** Fixes the snapshot, by the one call that leaves nothing open where that meets the recovery of a crashed file. */
  async function look(): Promise<void> {
    const h = await connection()
    await gate.retry(() => h.executeMultiple('select 1 from sqlite_schema where 0'))
  }

  /** A connection whose transaction cannot be ended is of no use any more. */
  async function end(how: 'commit' | 'rollback'): Promise<void> {
    try {
      await handle?.executeMultiple(`${how}; begin`)
    } catch (error) {
      close()
      throw error
    }
  }

  function close(): void {
    try {
      handle?.close()
    } finally {
      handle = null
    }
  }

  async function readVersion(): Promise<number> {
    await look()
    const h = await connection()
    const { rows } = await h.execute('pragma data_version')
    await end('commit')
    return Number(rows[0]?.data_version)
  }

  async function run<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const h = await connection()
    const { rows, rowsAffected } = await h.execute({ sql, args: parameters })
    return { rows: rows as R[], numAffectedRows: BigInt(rowsAffected) }
  }

  async function rollback(): Promise<void> {
    isInTransaction = false
    // The error that led here says more than this one would.
    await end('rollback').catch(() => {})
  }

  return {
    executeQuery: async <R>(query: CompiledQuery): Promise<QueryResult<R>> => {
      if (isInTransaction) return run<R>(query)
      await (SelectQueryNode.is(query.query) ? look() : lock())
      const result = await run<R>(query).catch(async (error: unknown) => {
        await rollback()
        throw error
      })
      await end('commit')
      return result
    },
    streamQuery: () => {
      throw new Error('The libSQL client cannot stream rows')
    },
    begin: async (readsOnly) => {
      await (readsOnly ? look() : lock())
      isInTransaction = true
    },
    commit: async () => {
      await end('commit')
      isInTransaction = false
    },
    rollback,
    close,
  }
}

async function open(
  client: LibsqlClient,
  gate: Gate,
  synchronous: HeldDriverOptions['synchronous'],
): Promise<LibsqlTransaction> {
  // The only statements that may go through the client itself: they leave nothing open.
  const { rows } = await gate.retry(() => client.execute('pragma journal_mode'))
  if (rows[0]?.journal_mode !== 'wal') {
    await gate.retry(() => client.execute('pragma journal_mode = wal'))
  }
  const handle = await client.transaction('deferred')
  await handle.execute('pragma busy_timeout = 0')
  await gate.retry(() => handle.executeMultiple('select 1 from sqlite_schema where 0'))
  const fullfsync = synchronous === 'full' ? 1 : 0
  await handle.executeMultiple(
    `rollback; pragma synchronous = ${synchronous}; pragma fullfsync = ${fullfsync}; begin`,
  )
  return handle
}

function isMissingTable(error: unknown): boolean {
  return error instanceof Error && error.message.includes('no such table')
}
