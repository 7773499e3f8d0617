import type { Dialect } from 'kysely'
import type { Duration } from './core/duration.ts'
import { DurablyError } from './core/error.ts'
import type { Instance } from './core/instance.ts'
import { requireOptions } from './core/require-object.ts'
import { requireText } from './core/require-text.ts'
import type { Wakeups } from './core/wakeups.ts'
import { createEnv } from './env.ts'
import { storedPath, type SqlocalClient } from './store/sql/dialects/sqlocal-client.ts'
import { createTabWakeups } from './store/sql/dialects/tab-wakeups.ts'

/** What `sqlocalDialect` makes a dialect of. */
export interface SqlocalDialectOptions {
  /** An `SQLocalKysely`. It stays open; whoever made it destroys it. */
  readonly client: SqlocalClient & { readonly dialect: Dialect }
}

/** SQLocal's dialect for Kysely, with wake-ups that `createDurably` finds by itself. */
export interface SqlocalDialect extends Dialect {
  readonly wakeups: Wakeups
}

/**
 * A drop-in for SQLocal's own dialect: the tabs that have the database open wake each other by BroadcastChannel,
 * where otherwise they would only notice at their next poll.
 *
 * @example
 * const durably = createDurably({ dialect: sqlocalDialect({ client: new SQLocalKysely('app.db') }) })
 */
export function sqlocalDialect(options: SqlocalDialectOptions): SqlocalDialect {
  requireOptions(options, { client: true }, 'sqlocalDialect({ client }): ')
  const { client } = options
  const { dialect } = client
  const env = createEnv()
  let path: Promise<string> | undefined
  return {
    createAdapter: () => dialect.createAdapter(),
    createDriver: () => dialect.createDriver(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    wakeups: createTabWakeups(() => (path ??= storedPath(client, env))),
  }
}

/** Which tabs share the work, and what to do where it is done. */
export interface TabOptions {
  /** The same in all tabs that share the work, for one another in none: the path of the database, say. */
  readonly name: string
  /** Called when the work comes to this tab. */
  readonly onWork?: (() => void) | undefined
}

/** This tab's part in the work. */
export interface Tab {
  /** Whether the work is this tab's now. */
  isWorking(): boolean
  /**
   * Whether the browser keeps the data of this origin until the user removes it. Otherwise it may delete all of it
   * when the disk is full: ask by `navigator.storage.persist()`.
   */
  isPersistent(): Promise<boolean>
  /** Stops as `durably.stop()` does, then leaves the work to another tab. It can be taken up again by `workInOneTab`. */
  leave(options?: { readonly timeout?: Duration | undefined }): Promise<void>
}

/**
 * In place of `init()`: creates the tables, and starts the worker in one of the tabs that call it. When that one is
 * closed, reloaded or crashes, the next takes over. The others trigger, read and subscribe. Resolves when the tables
 * are there; rejects as `migrate()` does, and with `DurablyError` where there are no Web Locks.
 *
 * @example
 * const tab = await workInOneTab(durably, { name: 'app.db' })
 * await durably.jobs.importCsv.trigger({ url: 'https://example.com/airports.csv' })
 */
export async function workInOneTab(
  durably: Pick<Instance, 'migrate' | 'start' | 'stop'>,
  options: TabOptions,
): Promise<Tab> {
  requireOptions(options, { name: true, onWork: true })
  const { name, onWork } = options
  requireText(name, 'name of the tabs that share the work')
  const { locks, storage } = navigator as Partial<Navigator>
  if (locks === undefined) throw new DurablyError('store', NO_LOCKS)
  await durably.migrate()
  const waiting = new AbortController()
  const left = Promise.withResolvers<void>()
  let isWorking = false

  async function work(): Promise<void> {
    if (waiting.signal.aborted) return
    durably.start()
    isWorking = true
    // What it throws is for the page to hear of; the work stays here.
    void (async () => onWork?.())()
    await left.promise
  }

  const over = locks
    .request(`durably:work:${name}`, { signal: waiting.signal }, work)
    .catch((error: unknown) => {
      // Else it was left before its turn came.
      if (!waiting.signal.aborted) throw error
    })
  return {
    isWorking: () => isWorking,
    isPersistent: async () => (await storage?.persisted()) ?? false,
    async leave(stopOptions) {
      waiting.abort()
      await durably.stop(stopOptions)
      isWorking = false
      left.resolve()
      await over
    },
  }
}

const NO_LOCKS =
  'Tabs cannot agree on who works: this page has no Web Locks, which browsers have on https and localhost only.'
