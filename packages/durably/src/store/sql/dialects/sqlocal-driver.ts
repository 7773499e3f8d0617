import { CompiledQuery, type DatabaseConnection, type Driver } from 'kysely'
import type { Env } from '../../../core/env.ts'
import { GIVE_UP_MS, inTime } from './in-time.ts'
import { storedPath, type SqlocalClient } from './sqlocal-client.ts'
import { createTabTurns } from './tab-turns.ts'
import { createTurns, type Turns } from './turns.ts'

export interface SqlocalDriverOptions {
  readonly env: Env
  readonly synchronous: 'full' | 'normal'
}

/**
 * The driver of a database in the browser. Its file is open to one connection at a time, and SQLite's own wait for it
 * takes 300 ms to 15 s; so the connections of all tabs stand in one line, by Web Locks.
 */
export function createSqlocalDriver(
  inner: Driver,
  client: SqlocalClient,
  { env, synchronous }: SqlocalDriverOptions,
): Driver {
  let turns: Turns = createTurns()
  let connection: DatabaseConnection | undefined

  /** As long as SQLite itself waits for a lock: a tab that the browser has suspended keeps its turn. */
  async function take(): Promise<void> {
    const turn = turns.take()
    const waiting = { isStuck: () => true, giveBack: turns.pass, message: KEPT }
    if (turn !== null) await inTime(env, turn, waiting)
  }

  async function open(): Promise<DatabaseConnection> {
    const path = await storedPath(client, env)
    const opened = await inner.acquireConnection()
    turns = createTabTurns(`durably:line:${path}`)
    await take()
    try {
      await configure(opened, synchronous)
    } finally {
      turns.pass()
    }
    return opened
  }

  return {
    init: async () => {
      await inner.init()
      connection = await open()
    },
    acquireConnection: async () => {
      if (connection === undefined) throw new Error('This driver was not initialized')
      await take()
      return connection
    },
    beginTransaction: (used, settings) => inner.beginTransaction(used, settings),
    commitTransaction: (used) => inner.commitTransaction(used),
    rollbackTransaction: (used) => rollback(inner, used),
    releaseConnection: async () => turns.pass(),
    // The database belongs to whoever made it.
    destroy: async () => {},
  }
}

const KEPT =
  `Waited ${GIVE_UP_MS / 1000} s for another tab to be done with the database, and nothing was done. ` +
  'Perhaps the browser has suspended that tab: try again, or close it.'

async function configure(
  connection: DatabaseConnection,
  synchronous: SqlocalDriverOptions['synchronous'],
): Promise<void> {
  const pragma = (text: string) => connection.executeQuery(CompiledQuery.raw(`pragma ${text}`))
  // OPFS shares no memory, which WAL needs, and a journal that is not deleted stays locked against other tabs.
  await pragma('journal_mode = delete')
  await pragma(`synchronous = ${synchronous}`)
}

/** SQLocal holds everyone up until a rollback succeeds; there is none where SQLite already rolled back by itself. */
async function rollback(inner: Driver, connection: DatabaseConnection): Promise<void> {
  try {
    await inner.rollbackTransaction(connection)
  } catch {
    await connection.executeQuery(CompiledQuery.raw('begin'))
    await inner.rollbackTransaction(connection)
  }
}
