import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { createEnv } from '../../src/env.ts'
import { postgresDialect, type PgPool } from '../../src/postgres.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import type { Store } from '../../src/store/store.ts'

/** A schema of the test server for one test, dropped after it. */
export interface Schema {
  readonly name: string
  /** A pool whose connections see this schema, and carry its name. */
  pool(max?: number): pg.Pool
  query(text: string, values?: unknown[]): Promise<readonly Record<string, unknown>[]>
  /** A store, with its tables; each call another process's. */
  store(pool?: PgPool): Promise<Store>
  /** Resolves when as many of its connections wait for a lock. */
  untilBlocked(connections?: number): Promise<void>
  /** Ends its connections, as a server that restarts would; answers how many. */
  terminate(condition?: string): Promise<number>
}

const BLOCK_DEADLINE_MS = 5000
const PROBE_MS = 5

export async function openSchema(): Promise<Schema> {
  const url = process.env.DURABLY_TEST_POSTGRES_URL
  if (url === undefined) throw new Error('DURABLY_TEST_POSTGRES_URL is set by the test setup')
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const pools: pg.Pool[] = []
  const makePool = (max: number, more: pg.PoolConfig = {}): pg.Pool => {
    const pool = new pg.Pool({ connectionString: url, max, ...more })
    pools.push(pool)
    return pool
  }
  const pool = (max = 4) =>
    makePool(max, { options: `-c search_path=${name}`, application_name: name })
  const admin = makePool(2, { options: `-c search_path=${name}` })
  const query: Schema['query'] = async (text, values = []) => {
    const { rows } = await admin.query<Record<string, unknown>>(text, values)
    return rows
  }
  onTestFinished(async () => {
    await query(`drop schema ${name} cascade`)
    await Promise.all(pools.map((one) => one.end()))
  })
  await query(`create schema ${name}`)

  return {
    name,
    pool,
    query,
    store: async (over = pool()) => {
      const dialect = postgresDialect({ pool: over })
      const { store } = createSqlStore({ dialect, env: createEnv() })
      await store.migrate()
      return store
    },
    untilBlocked: async (connections = 1) => {
      const deadline = performance.now() + BLOCK_DEADLINE_MS
      for (;;) {
        const waiting = await query(
          `select 1 from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`,
          [name],
        )
        if (waiting.length >= connections) return
        if (performance.now() > deadline) throw new Error('Nobody waits for a lock')
        await delay(PROBE_MS)
      }
    },
    terminate: async (condition = 'true') => {
      const ended = await query(
        `select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = $1 and (${condition})`,
        [name],
      )
      return ended.length
    },
  }
}

/** A pool whose next `commit` is held back, with all the locks of its transaction. */
export interface HeldPool {
  readonly pool: PgPool
  /** Holds the next statement that fits the pattern, before it is sent. */
  holdBefore(pattern: RegExp): Pick<Held, 'reached'> & { readonly go: () => void }
  /** Holds the next transaction that comes to its end. */
  hold(): Held
}

/** Two processes; the transactions of the first can be held open just before they commit. */
export async function openTwo(): Promise<{
  schema: Schema
  held: HeldPool
  first: Store
  second: Store
}> {
  const schema = await openSchema()
  const held = createHeldPool(schema.pool())
  const first = await schema.store(held.pool)
  const second = await schema.store()
  return { schema, held, first, second }
}

interface Held {
  /** The transaction has done all but commit. */
  readonly reached: Promise<void>
  commit(): void
  /** The transaction fails with this error instead, and is rolled back. */
  fail(error: Error): void
  /** The transaction commits, and the answer is this error. */
  commitUnheard(error: Error): void
}

export function createHeldPool(inner: PgPool): HeldPool {
  let next: { readonly arrive: () => void; readonly fate: Promise<Fate> } | null = null
  let stop: { readonly pattern: RegExp; arrive: () => void; readonly go: Promise<void> } | null =
    null

  async function send(text: string, pass: () => Promise<unknown>): Promise<unknown> {
    if (stop?.pattern.test(text)) {
      const { arrive, go } = stop
      stop = null
      arrive()
      await go
    }
    return text === 'commit' ? end(pass) : pass()
  }

  async function end(send: () => Promise<unknown>): Promise<unknown> {
    const held = next
    if (held === null) return send()
    next = null
    held.arrive()
    const { isSent, error } = await held.fate
    const result = isSent ? await send() : null
    if (error !== null) throw error
    return result
  }

  return {
    pool: intercept(inner, send),
    holdBefore: (pattern) => {
      const arrival = Promise.withResolvers<void>()
      const going = Promise.withResolvers<void>()
      stop = { pattern, arrive: arrival.resolve, go: going.promise }
      return { reached: arrival.promise, go: going.resolve }
    },
    hold: () => {
      const arrival = Promise.withResolvers<void>()
      const fate = Promise.withResolvers<Fate>()
      next = { arrive: arrival.resolve, fate: fate.promise }
      return {
        reached: arrival.promise,
        commit: () => fate.resolve({ isSent: true, error: null }),
        fail: (error) => fate.resolve({ isSent: false, error }),
        commitUnheard: (error) => fate.resolve({ isSent: true, error }),
      }
    },
  }
}

interface Fate {
  readonly isSent: boolean
  readonly error: Error | null
}

type Interceptor = (
  text: string,
  send: () => Promise<unknown>,
  values: readonly unknown[],
) => Promise<unknown>

/** A pool whose statements all go through `interceptor`. */
export function intercept(inner: PgPool, interceptor: Interceptor): PgPool {
  const clients = new WeakMap<PgClient, PgClient>()
  return {
    ...(inner.options && { options: inner.options }),
    query: (text, values) => inner.query(text, values),
    on: inner.on.bind(inner),
    connect: async () => {
      const client = await inner.connect()
      const known = clients.get(client) ?? wrap(client, interceptor)
      clients.set(client, known)
      return known
    },
  }
}

/** A pool whose errors are all kept. */
export function recorded(inner: PgPool, errors: unknown[]): PgPool {
  return intercept(inner, (_, pass) =>
    pass().catch((error: unknown) => {
      errors.push(error)
      throw error
    }),
  )
}

type PgClient = Awaited<ReturnType<PgPool['connect']>>

function wrap(client: PgClient, interceptor: Interceptor): PgClient {
  return {
    query: async (query) => {
      const result = await interceptor(query.text, () => client.query(query), query.values)
      return result as pg.QueryResult
    },
    on: client.on.bind(client),
    release: (destroy) => client.release(destroy),
  }
}
