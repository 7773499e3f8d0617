import { setTimeout as sleep } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import LibSqlite from 'libsql'
import pg from 'pg'

/**
 * The control of a run that is triggered here and begins in another process: one process stores a row, and another one
 * that hears of it takes it. Two commits and the way in between, by nothing but the driver.
 */
export interface Handover {
  /** Stores a row that is to be taken, and says so where that has to be said. */
  give(id: number): Promise<void>
  /** Takes rows until the process ends; where it has to look for them, it does so every `lookMs`. */
  take(lookMs: number, onTaken: () => void): Promise<void>
  close(): Promise<void>
}

const CREATE = 'create table if not exists handed_over (id bigint primary key, taken integer)'
const INDEX = 'create index if not exists handed_over_open on handed_over (id) where taken = 0'
const TAKE = 'update handed_over set taken = 1 where taken = 0 returning id'

/** On the database at `address`, as `Database` has it. */
export async function openHandover(address: string): Promise<Handover> {
  const at = address.indexOf(':')
  const [setup, place] = [address.slice(0, at), address.slice(at + 1)]
  if (setup.startsWith('postgres')) return openOnPostgres(place)
  const path = `${place}-handover`
  return openOnSqlite(setup === 'libsql' ? new LibSqlite(path) : new Sqlite(path))
}

/** What better-sqlite3 and libsql have in common. */
interface SqliteLike {
  prepare(sql: string): {
    run(...parameters: unknown[]): unknown
    get(...parameters: unknown[]): unknown
    all(...parameters: unknown[]): unknown[]
  }
  exec(sql: string): unknown
  close(): unknown
}

function openOnSqlite(database: SqliteLike): Handover {
  database.exec('pragma busy_timeout = 5000')
  database.exec('pragma journal_mode = wal')
  database.exec('pragma synchronous = full')
  database.exec(CREATE)
  database.exec(INDEX)
  const insert = database.prepare('insert into handed_over values (?, 0)')
  const take = database.prepare(TAKE)
  const dataVersion = database.prepare('pragma data_version')
  const readVersion = (): number => (dataVersion.get() as { data_version: number }).data_version
  return {
    give: async (id) => void insert.run(id),
    async take(lookMs, onTaken) {
      let seen = readVersion()
      for (;;) {
        await sleep(lookMs)
        const version = readVersion()
        if (version !== seen && take.all().length > 0) onTaken()
        seen = version
      }
    },
    close: async () => void database.close(),
  }
}

async function openOnPostgres(connectionString: string): Promise<Handover> {
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString }).on('error', () => {})
    await client.connect()
    return client
  }
  const [work, line] = [await connect(), await connect()]
  await work.query(CREATE)
  await work.query(INDEX)
  return {
    async give(id) {
      await work.query({
        name: 'give',
        text: 'insert into handed_over values ($1, 0)',
        values: [id],
      })
      await line.query('notify handed_over')
    },
    async take(_lookMs, onTaken) {
      line.on('notification', () => {
        void work.query({ name: 'take', text: TAKE }).then(({ rows }) => {
          if (rows.length > 0) onTaken()
        })
      })
      await line.query('listen handed_over')
    },
    async close() {
      await Promise.all([work.end(), line.end()])
    },
  }
}
