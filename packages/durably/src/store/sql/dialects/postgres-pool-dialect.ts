import { PostgresDialect, type Dialect, type PostgresPoolClient } from 'kysely'
import type { Env } from '../../../core/env.ts'
import type { PgClient, PgPool } from './postgres-client.ts'
import { isStalePlan } from './postgres-errors.ts'
import { withstand } from './withstand.ts'

/**
 * Kysely's dialect over a pool, with three differences: each connection prepares a statement once, one that breaks
 * while nobody uses it does not end the process, and the pool stays open.
 */
export function createPoolDialect(pool: PgPool, env: Env): Dialect {
  const names = createNames()
  const clients = new WeakMap<PgClient, PreparingClient>()

  function meet(client: PgClient): PreparingClient {
    // It may be older than this dialect.
    client.on('error', () => {})
    const preparing = { ...createPreparingClient(client, names), plannedAt: env.elapsed() }
    clients.set(client, preparing)
    return preparing
  }

  async function connect(): Promise<PostgresPoolClient> {
    const client = await pool.connect()
    const known = clients.get(client) ?? meet(client)
    if (env.elapsed() - known.plannedAt > MAX_PLAN_AGE_MS)
      await planAnew(client, known, env.elapsed())
    return known
  }

  withstand(pool)
  const { options = {} } = pool
  return new PostgresDialect({ pool: { options, connect, end: async () => {} } })
}

interface PreparingClient extends PostgresPoolClient {
  /** No plan of this connection is older. */
  plannedAt: number
}

// What was planned while a table was small reads all of it when it is large. PostgreSQL itself notices within minutes.
const MAX_PLAN_AGE_MS = 10_000

async function planAnew(client: PgClient, known: PreparingClient, now: number): Promise<void> {
  try {
    await client.query({ text: 'discard plans', values: [] })
    known.plannedAt = now
  } catch (error) {
    client.release(true)
    throw error
  }
}

function createPreparingClient(client: PgClient, names: Names): PostgresPoolClient {
  async function query(text: string, values: readonly unknown[]): Promise<unknown> {
    // Statements without parameters may be of the kind that cannot be prepared.
    const name = values.length === 0 ? undefined : names.nameOf(text)
    try {
      return await client.query({
        ...(name === undefined ? {} : { name }),
        text,
        values: [...values],
      })
    } catch (error) {
      if (isStalePlan(error)) names.renew()
      throw error
    }
  }
  return {
    query: query as PostgresPoolClient['query'],
    release: (destroy) => client.release(destroy),
  }
}

interface Names {
  /** The same for the same text, on every connection; none for texts that come after too many others. */
  nameOf(text: string): string | undefined
  /** From now on, other names: all statements are prepared anew. */
  renew(): void
}

// Each costs memory on every connection; Durably itself has about a hundred.
const MAX_NAMES = 1000

function createNames(): Names {
  const names = new Map<string, string>()
  let round = 0
  return {
    nameOf: (text) => {
      const known = names.get(text)
      if (known !== undefined || names.size === MAX_NAMES) return known
      const name = `durably_${hash(text)}_${round}`
      names.set(text, name)
      return name
    },
    renew: () => {
      names.clear()
      round++
    },
  }
}

/** Two dialects may share a pool and its connections: a name must say which text it stands for. 53 bits of it do. */
function hash(text: string): string {
  let low = 0xdeadbeef
  let high = 0x41c6ce57
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    low = Math.imul(low ^ code, 2654435761)
    high = Math.imul(high ^ code, 1597334677)
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  return ((high >>> 0) * 2 ** 21 + (low >>> 11)).toString(36)
}
