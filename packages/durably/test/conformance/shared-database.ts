import { CompiledQuery, Kysely } from 'kysely'
import { nameTables } from '../../src/store/sql/tables.ts'
import type { Store } from '../../src/store/store.ts'
import type { Backend, Database } from '../backend.ts'

/** One database for many tests, one after the other: making its tables takes longer than a test. */
export interface SharedDatabase {
  /** Begins a test: empty, and what it connects to goes by this clock, or without one by the time of each call. */
  begin(clock?: () => number): Promise<void>
  /** A store of its own for each process of a test. */
  connect(): Promise<Store>
  close(): Promise<void>
}

export function shareDatabase(backend: Backend): SharedDatabase {
  let opened: Promise<Database> | undefined
  let emptying: Kysely<unknown> | undefined
  let now: (() => number) | undefined
  const stores: Store[] = []
  let taken = 0

  return {
    async begin(clock) {
      now = clock
      taken = 0
      if (emptying !== undefined) return empty(emptying)
      stores.length = 0
      opened = backend.open()
      const { dialect } = await opened
      if (dialect !== null) emptying = new Kysely({ dialect: dialect() })
    },
    async connect() {
      const database = await opened
      if (database === undefined) throw new Error('connect before begin')
      const store = stores[taken] ?? (await database.connect(() => now?.()))
      stores[taken++] = store
      return store
    },
    async close() {
      await (await opened)?.close()
    },
  }
}

const tables = nameTables('durably_')
const filled = [
  tables.journal,
  tables.labels,
  tables.mailbox,
  tables.tokens,
  tables.waiters,
  tables.runs,
  tables.workers,
  tables.keys,
  tables.jobs,
  tables.deleted,
]

async function empty(db: Kysely<unknown>): Promise<void> {
  await db.transaction().execute(async (trx) => {
    for (const table of filled) await trx.executeQuery(CompiledQuery.raw(`delete from ${table}`))
  })
}
