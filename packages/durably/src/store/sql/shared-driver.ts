import type { DatabaseConnection, Dialect, Driver } from 'kysely'
import type { Env } from '../../core/env.ts'
import { UnusableStoreError } from '../store.ts'
import { GIVE_UP_MS, inTime } from './dialects/in-time.ts'
import { createTurns } from './dialects/turns.ts'

/**
 * The driver of a dialect, for two users: the store, which runs its statements without Kysely's machinery around
 * them, and the Kysely that everyone else gets. It is made and started when it is first used, since making it may
 * open the database, and stopped once. Where there is one connection, it is one user's at a time. Whoever waits for a
 * connection while all are kept gives up after some time: those who keep them may be waiting for what he is to do.
 */
export function createSharedDriver(dialect: Dialect, env: Env): Driver {
  // Older releases of Kysely say nothing here; their drivers take turns by themselves.
  const isSingle = dialect.createAdapter().supportsMultipleConnections === false
  const turns = isSingle ? createTurns() : null
  let made: Driver | undefined
  let starting: Promise<void> | null = null
  let isStarted = false
  let stopping: Promise<void> | null = null
  const driver = () => (made ??= dialect.createDriver())
  const lent = createLent(env)

  async function acquire(): Promise<DatabaseConnection> {
    if (turns === null) {
      const giveBack = (late: DatabaseConnection) => driver().releaseConnection(late)
      return lent.wait(driver().acquireConnection(), giveBack)
    }
    const turn = turns.take()
    if (turn !== null) await lent.wait(turn, turns.pass)
    try {
      return await driver().acquireConnection()
    } catch (error) {
      turns.pass()
      throw error
    }
  }

  async function start(): Promise<void> {
    if (stopping !== null)
      throw new UnusableStoreError('closed', 'This instance of Durably was closed')
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
      const connection = await acquire()
      lent.give()
      return connection
    },
    releaseConnection: async (connection) => {
      lent.takeBack()
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

/** The connections that are given out. */
interface Lent {
  give(): void
  takeBack(): void
  /** What is coming, as long as those who have a connection give it back; rejects when none does for some time. */
  wait<T>(coming: Promise<T>, giveBack: (late: T) => unknown): Promise<T>
}

function createLent(env: Env): Lent {
  let inUse = 0
  let returns = 0
  return {
    give: () => void inUse++,
    takeBack() {
      inUse--
      returns++
    },
    wait(coming, giveBack) {
      let seen = returns
      // The database may be slow to connect; only what was given out can be kept.
      const isStuck = (): boolean => {
        const isKept = inUse > 0 && returns === seen
        seen = returns
        return isKept
      }
      return inTime(env, coming, { isStuck, giveBack, message: ALL_KEPT })
    },
  }
}

const ALL_KEPT =
  `Waited ${GIVE_UP_MS / 1000} s for a connection to the database, and nothing was done: all are kept, by statements that are ` +
  'not answered, or by transactions on durably.db. If this call is awaited inside one of them, each waits for the other: ' +
  'call Durably before or after the transaction, and do in it only what goes through its own trx.'

function need<T>(method: T | undefined): T {
  if (method === undefined) throw new Error('This driver has no savepoints')
  return method
}
