import type { Dialect, Kysely } from 'kysely'
import { createEnv } from '../env.ts'
import { createMemoryStore } from '../store/memory.ts'
import { createSqlStore } from '../store/sql/sql-store.ts'
import type { Batch, Store } from '../store/store.ts'
import type { VirtualTime } from './virtual-time.ts'

/** The way from one process to the database. */
export interface Connection {
  readonly store: Store
  /** From now on no call is made and no answer comes. */
  cut(): void
}

export interface ConnectionOptions {
  readonly store: Store
  readonly time: VirtualTime
  /** Told of each write, before it is made and after it was; it may cut the connection. */
  readonly onWrite?: (batch: Batch, side: 'before' | 'after') => void
}

/** Where runs are kept, and Kysely on it, if that is a database. */
export interface Opened {
  readonly store: Store
  readonly db: Kysely<unknown> | null
}

/** A store in memory, or on the dialect's database, where leases go by virtual time. It is migrated once. */
export function openStore(dialect: Dialect | undefined, time: VirtualTime): Opened {
  if (dialect === undefined) return { store: createMemoryStore(), db: null }
  const env = createEnv()
  const clockOffset = (): number => time.now() - env.now()
  const { store, db } = createSqlStore({ dialect, env, clockOffset })
  let migrated: Promise<void> | null = null
  return { store: { ...store, migrate: () => (migrated ??= store.migrate()) }, db }
}

type Ask = (...args: readonly unknown[]) => Promise<unknown>

const never = new Promise<never>(() => {})

/** Nothing is asked of the store before its tables are there, and no time passes while it is at work. */
export function connect({ store, time, onWrite = () => {} }: ConnectionOptions): Connection {
  let isCut = false

  async function pass(name: string, ask: Ask, args: readonly unknown[]): Promise<unknown> {
    if (name === 'write') onWrite(args[0] as Batch, 'before')
    if (isCut) return never
    const answer = await time.track(store.migrate().then(() => ask(...args)))
    if (name === 'write' && !isCut) onWrite(args[0] as Batch, 'after')
    return isCut ? never : answer
  }

  const operations = Object.entries(store)
    .filter(([name]) => name !== 'close')
    .map(([name, ask]: [string, unknown]) => [
      name,
      (...args: readonly unknown[]) => pass(name, ask as Ask, args),
    ])
  return {
    store: {
      ...(Object.fromEntries(operations) as Store),
      // There is one process at a time: nobody else's commits are to be watched for.
      version: async () => null,
      close: async () => {},
    },
    cut() {
      isCut = true
    },
  }
}
