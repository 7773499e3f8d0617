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

/** Options of `sqlocalDialect`. */
export interface SqlocalDialectOptions {
  /** An `SQLocalKysely`. It stays open: you destroy it. */
  readonly client: SqlocalClient & { readonly dialect: Dialect }
}

/** SQLocal's dialect for Kysely, with wake-ups that `createDurably` uses by default. */
export interface SqlocalDialect extends Dialect {
  readonly wakeups: Wakeups
}

/**
 * A drop-in for SQLocal's own dialect: tabs that have the database open wake each other by BroadcastChannel. Otherwise
 * they notice changes only at their next poll.
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

/** Which tabs share the work, and what to do in the tab that does it. */
export interface TabOptions {
  /** The same name in all tabs that share the work, and in no others: for example, the path of the database. */
  readonly name: string
  /** Called when this tab begins to do the work. */
  readonly onWork?: (() => void) | undefined
}

/** This tab's part in the work. */
export interface Tab {
  /** Whether this tab does the work now. */
  isWorking(): boolean
  /**
   * Whether the browser keeps this origin's data until the user removes it. If not, it may delete all of it when the
   * disk is full: ask for persistence with `navigator.storage.persist()`.
   */
  isPersistent(): Promise<boolean>
  /** Stops as `durably.stop()` does, then leaves the work to another tab. `workInOneTab` can take it up again. */
  leave(options?: { readonly timeout?: Duration | undefined }): Promise<void>
}

/**
 * Use it instead of `init()`. Creates the tables, and starts the worker in one of the tabs that call it. If that tab is
 * closed, reloaded or crashes, the next one takes over. The other tabs trigger, read and subscribe. Resolves when the
 * tables exist. Rejects as `migrate()` does, and with `DurablyError` if there are no Web Locks.
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
