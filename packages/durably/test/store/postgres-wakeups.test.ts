import { setTimeout as delay } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import type pg from 'pg'
import postgres from 'postgres'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { createDurably, defineJob } from '../../src/index.ts'
import {
  type PgPool,
  type PostgresSource,
  postgresDialect,
  postgresWakeups,
} from '../../src/postgres.ts'
import { intercept, openSchema, type Schema } from './postgres-schema.ts'

/** Two processes on one database, as one driver reaches it. */
interface Pair {
  readonly one: PostgresSource
  readonly other: PostgresSource
}

const drivers: Record<string, (schema: Schema) => Promise<Pair>> = {
  pg: async (schema) => ({ one: schema.pool(), other: schema.pool() }),
  'postgres.js': async (schema) => ({ one: openPostgresJs(schema), other: openPostgresJs(schema) }),
  PGlite: async () => {
    const pglite = await PGlite.create()
    onTestFinished(() => pglite.close())
    return { one: pglite, other: pglite }
  },
}

function openPostgresJs(schema: Schema): postgres.Sql {
  const sql = postgres(process.env.DURABLY_TEST_POSTGRES_URL as string, {
    connection: { application_name: schema.name },
    onnotice: () => {},
  })
  onTestFinished(() => sql.end())
  return sql
}

describe.each(Object.entries(drivers))('%s', (_, open) => {
  test('hears what others send, and nothing else', async () => {
    const { one, other } = await open(await openSchema())
    const heard: string[] = []
    const stop = await postgresWakeups(one).listen((message) => heard.push(message))
    const stopOther = await postgresWakeups(other).listen(() => {})
    // Other tests share the channel.
    const mine = () => heard.filter((message) => message.startsWith('mine'))
    await postgresWakeups(other).notify('mine: ß "quoted"')
    await postgresWakeups(other).notify(`mine${'x'.repeat(6996)}`)
    await vi.waitFor(() => expect(mine()).toHaveLength(2))
    expect(mine()).toEqual(['mine: ß "quoted"', `mine${'x'.repeat(6996)}`])
    expect(heard.filter((message) => message.startsWith('proof'))).toEqual([])
    await stop()
    await postgresWakeups(other).notify('mine, too late')
    await stopOther()
    expect(mine()).toHaveLength(2)
  })
})

describe.each(['pg', 'postgres.js'])('%s', (name) => {
  test('hears again after its connection broke, and looks for what it missed', async () => {
    const schema = await openSchema()
    const { one, other } = await (drivers[name] as (schema: Schema) => Promise<Pair>)(schema)
    const onWake = vi.fn<(message: string) => void>()
    const stop = await postgresWakeups(one).listen(onWake)
    expect(await schema.terminate(`query ilike 'listen%'`)).toBe(1)
    await vi.waitFor(() => expect(onWake).toHaveBeenCalledWith(''), { timeout: 5000 })
    await postgresWakeups(other).notify('mine')
    await vi.waitFor(() => expect(onWake).toHaveBeenCalledWith('mine'))
    expect(onWake.mock.calls.filter(([message]) => message === '')).toHaveLength(1)
    await stop()
  })
})

test('a pooler that swallows LISTEN is found out', async () => {
  const schema = await openSchema()
  const pool = intercept(schema.pool(), (text, send) =>
    text.startsWith('listen') ? Promise.resolve({ command: 'LISTEN', rows: [] }) : send(),
  )
  await expect(postgresWakeups(pool).listen(() => {})).rejects.toThrow('LISTEN does not work here')
})

test('a connection that ends before it has heard anything is not taken for a pooler', async () => {
  const schema = await openSchema()
  const pool = schema.pool()
  const dying: PgPool = {
    ...intercept(pool, (_, send) => send()),
    query: async (text, values) => {
      await schema.terminate(`query ilike 'listen%'`)
      return pool.query(text, values)
    },
  }
  await expect(postgresWakeups(dying).listen(() => {})).rejects.toThrow('has ended as soon as')
})

test('a pool of one has no connection to spare', async () => {
  const schema = await openSchema()
  const wakeups = postgresWakeups(schema.pool(1))
  await expect(wakeups.listen(() => {})).rejects.toThrow('a pool of one has none')
})

test('anything else is refused', () => {
  for (const source of [{}, 'postgres://localhost', null, undefined]) {
    const wrong = () => postgresWakeups(source as PgPool)
    expect(wrong).toThrow('takes a pg.Pool, a postgres.js client or')
  }
})

test('stopping gives the connection back', async () => {
  const schema = await openSchema()
  const pool = schema.pool()
  const stop = await postgresWakeups(pool).listen(() => {})
  expect(pool.totalCount - pool.idleCount).toBe(1)
  await stop()
  await vi.waitFor(() => expect(pool.totalCount - pool.idleCount).toBe(0))
})

test('a run triggered in one process starts at once in another', async () => {
  const schema = await openSchema()
  const open = (pool: pg.Pool) => {
    const job = defineJob({ name: 'job', input: z.object({}), run: async () => 'done' })
    const durably = createDurably({
      dialect: postgresDialect({ pool }),
      jobs: { job },
      pollingInterval: 60_000,
    })
    onTestFinished(() => durably.close())
    return durably
  }
  const client = open(schema.pool())
  await client.migrate()
  const worker = open(schema.pool())
  await worker.init()
  // It has looked once, and found nothing to do until it is woken.
  await delay(500)
  const { output } = await client.jobs.job.triggerAndWait({}, { timeout: '5s' })
  expect(output).toBe('done')
})
