import {
  SelectQueryNode,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
} from 'kysely'
import {
  createHeldConnection,
  type HeldConnection,
  type HeldConnectionOptions,
} from './held-connection.ts'
import type { LibsqlClient } from './libsql-client.ts'
import { createTurns } from './turns.ts'

/** The driver of a local file, on one held connection. */
export function createHeldDriver(
  userDriver: Driver,
  client: LibsqlClient,
  options: HeldConnectionOptions,
): Driver {
  const held = createHeldConnection(client, options)
  const connection = createConnection(held)
  const turns = createTurns()
  return {
    init: () => userDriver.init(),
    acquireConnection: async () => {
      await turns.take()
      return connection
    },
    beginTransaction: (_, { accessMode }) => connection.begin(accessMode === 'read only'),
    commitTransaction: () => connection.commit(),
    rollbackTransaction: () => connection.rollback(),
    releaseConnection: async () => turns.pass(),
    destroy: async () => {
      held.close()
      // Closes the client if the dialect made it, not if the user did.
      await userDriver.destroy()
    },
  }
}

interface TransactingConnection extends DatabaseConnection {
  begin(readsOnly: boolean): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
}

function createConnection(held: HeldConnection): TransactingConnection {
  let isInTransaction = false

  async function run<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, rowsAffected } = await held.execute(sql, parameters)
    return { rows: rows as R[], numAffectedRows: BigInt(rowsAffected) }
  }

  /** Autocommit would not be safe: each statement has a transaction of its own. */
  async function runAlone<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    await begin(SelectQueryNode.is(query.query))
    try {
      const result = await run<R>(query)
      await commit()
      return result
    } catch (error) {
      await rollback()
      throw error
    }
  }

  async function begin(readsOnly: boolean): Promise<void> {
    await (readsOnly ? held.look() : held.lock())
    isInTransaction = true
  }

  async function commit(): Promise<void> {
    await held.end('commit')
    isInTransaction = false
  }

  async function rollback(): Promise<void> {
    isInTransaction = false
    // The error that led here says more than one of this would.
    await held.end('rollback').catch(() => {})
  }

  return {
    executeQuery: (query) => (isInTransaction ? run(query) : runAlone(query)),
    streamQuery: () => {
      throw new Error('The libSQL client cannot stream rows')
    },
    begin,
    commit,
    rollback,
  }
}
