import type { Dialect, Driver } from 'kysely'
import { UnusableStoreError } from '../store.ts'
import { createTurns } from './dialects/turns.ts'

/**
 * The driver of a dialect, for two users: the store, which runs its statements without Kysely's machinery around
 * them, and the Kysely that everyone else gets. It is made and started when it is first used, since making it may
 * open the database, and stopped once. Where there is one connection, it is one user's at a time.
 */
export function createSharedDriver(dialect: Dialect): Driver {
  // Older releases of Kysely say nothing here; their drivers take turns by themselves.
  const isSingle = dialect.createAdapter().supportsMultipleConnections === false
  const turns = isSingle ? createTurns() : null
  let made: Driver | undefined
  let starting: Promise<void> | null = null
  let isStarted = false
  let stopping: Promise<void> | null = null
  const driver = () => (made ??= dialect.createDriver())

  async function start(): Promise<void> {
    if (stopping !== null) throw new UnusableStoreError('This instance of Durably was closed')
    starting ??= driver().init()
    try {
      await starting
      isStarted = true
    } catch (error) {
      starting = null
      throw error
    }
  }

  return {
    init: start,
    acquireConnection: async () => {
      if (!isStarted || stopping !== null) await start()
      const turn = turns?.take() ?? null
      if (turn !== null) await turn
      try {
        return await driver().acquireConnection()
      } catch (error) {
        turns?.pass()
        throw error
      }
    },
    releaseConnection: async (connection) => {
      try {
        await driver().releaseConnection(connection)
      } finally {
        turns?.pass()
      }
    },
    beginTransaction: (connection, settings) => driver().beginTransaction(connection, settings),
    commitTransaction: (connection) => driver().commitTransaction(connection),
    rollbackTransaction: (connection) => driver().rollbackTransaction(connection),
    savepoint: (...args) => need(driver().savepoint).apply(driver(), args),
    rollbackToSavepoint: (...args) => need(driver().rollbackToSavepoint).apply(driver(), args),
    releaseSavepoint: (...args) => need(driver().releaseSavepoint).apply(driver(), args),
    destroy: async () => {
      if (starting === null) return
      await starting
      await (stopping ??= driver().destroy())
    },
  }
}

function need<T>(method: T | undefined): T {
  if (method === undefined) throw new Error('This driver has no savepoints')
  return method
}
