import type { Env } from '../../../core/env.ts'
import type { LibsqlClient, LibsqlResult, LibsqlTransaction } from './libsql-client.ts'
import { isTableMissing } from './sqlite-errors.ts'
import { createGate, type Gate } from './sqlite-gate.ts'
import { endedError } from './transaction-control.ts'

export interface HeldConnectionOptions {
  readonly env: Env
  readonly tablePrefix: string
  readonly synchronous: 'full' | 'normal'
}

/**
 * The one connection to a local file. Statements of the client that met SQLITE_BUSY stay open until they are
 * garbage-collected, and until then what their connection acknowledges may not be durable. So one connection is held
 * for good, always inside a transaction without locks, and asks for locks by the one call that leaves nothing open.
 */
export interface HeldConnection {
  /** Takes the write lock, and changes nothing. */
  lock(): Promise<void>
  /** Fixes the snapshot that reads see. */
  look(): Promise<void>
  execute(sql: string, args: readonly unknown[]): Promise<LibsqlResult>
  /** Ends what `lock` or `look` began. After an error the connection is not used again. */
  end(how: 'commit' | 'rollback'): Promise<void>
  close(): void
}

export function createHeldConnection(
  client: LibsqlClient,
  { env, tablePrefix, synchronous }: HeldConnectionOptions,
): HeldConnection {
  const lockTable = `"${tablePrefix}lock"`
  const gate = createGate(env, readVersion)
  let handle: LibsqlTransaction | null = null

  /** The connection, opened again if someone closed it, or an error ended the transaction that it stands in. */
  async function connect(): Promise<LibsqlTransaction> {
    if (handle === null || handle.closed) handle = await open(client, gate, synchronous)
    return handle
  }

  // The lock must come first in its transaction: a read would fix the snapshot, and then it may be too old to write.
  async function lock(): Promise<void> {
    const take = async () => (await connect()).executeMultiple(`delete from ${lockTable} where 0`)
    await gate.enter(take).catch(async (error: unknown) => {
      if (!isTableMissing(error)) throw error
      await createLockTable()
      await gate.enter(take)
    })
  }

  async function createLockTable(): Promise<void> {
    const sql = `create table if not exists ${lockTable} (x)`
    await gate.retry(async () => (await connect()).executeMultiple(sql))
    await end('commit')
  }

  async function look(): Promise<void> {
    const sql = 'select 1 from sqlite_schema where 0'
    await gate.retry(async () => (await connect()).executeMultiple(sql))
  }

  async function end(how: 'commit' | 'rollback'): Promise<void> {
    try {
      await begun(handle).executeMultiple(`${how}; begin`)
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
    const { rows } = await begun(handle).execute('pragma data_version')
    await end('commit')
    return Number(rows[0]?.data_version)
  }

  return {
    lock,
    look,
    execute: async (sql, args) => begun(handle).execute({ sql, args }),
    end,
    close,
  }
}

/** What `lock` or `look` began on. With the connection went what was written: the rest is not to be written alone. */
function begun(handle: LibsqlTransaction | null): LibsqlTransaction {
  if (handle === null || handle.closed) throw endedError()
  return handle
}

async function open(
  client: LibsqlClient,
  gate: Gate,
  synchronous: HeldConnectionOptions['synchronous'],
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
