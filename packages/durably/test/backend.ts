import type { Dialect } from 'kysely'
import { createEnv } from '../src/env.ts'
import { createMemoryStore } from '../src/store/memory.ts'
import { createSqlStore } from '../src/store/sql/sql-store.ts'
import type { Store } from '../src/store/store.ts'

type Clock = () => number | undefined

/** A database that Durably promises to work on, with the driver to reach it by. */
export interface Backend {
  readonly name: string
  /** A new, empty database. One that cannot be reached is an error, never a reason to skip. */
  open(): Promise<Database>
}

export interface Database {
  /** A way to it of its own, as another process would have; null where there is no dialect. */
  readonly dialect: (() => Dialect) | null
  /**
   * A store on it, with its tables; each call another process's. Leases go by `clock`, or without its answer by
   * the time of each call, also where the database's own clock decides.
   */
  connect(clock?: Clock): Promise<Store>
  close(): Promise<void>
}

/** What one process has of a database. */
export interface Connection {
  readonly dialect: Dialect
  close(): void | Promise<void>
}

/** The reference model. Processes share no memory; here the "other process" is another user of the same store. */
export const memory: Backend = {
  name: 'memory',
  open: async () => {
    const store = createMemoryStore()
    return { dialect: null, connect: async () => store, close: () => store.close() }
  },
}

/** The databases that `connect` leads to. `remove` is called last. */
export function openSql(connect: () => Connection, remove: () => void | Promise<void>): Database {
  const closers: (() => void | Promise<void>)[] = [remove]
  const dialect = (): Dialect => {
    const connection = connect()
    closers.unshift(connection.close)
    return connection.dialect
  }
  return {
    dialect,
    connect: async (clock) => {
      const store = createStore(dialect(), clock)
      closers.unshift(store.close)
      await store.migrate()
      return store
    },
    close: async () => {
      for (const close of closers) await close()
    },
  }
}

function createStore(dialect: Dialect, clock: Clock | undefined): Store {
  const env = createEnv()
  let lastNow = 0
  const clockOffset = () => (clock?.() ?? lastNow) - env.now()
  const { store } = createSqlStore({ dialect, env, clockOffset })
  const noting =
    <T, R>(call: (request: T, now: number) => R) =>
    (request: T, now: number): R => {
      lastNow = now
      return call(request, now)
    }
  return {
    ...store,
    write: noting(store.write),
    look: noting(store.look),
    reclaim: noting(store.reclaim),
    renew: noting(store.renew),
  }
}
