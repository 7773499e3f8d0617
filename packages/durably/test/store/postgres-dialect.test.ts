import type { EventEmitter } from 'node:events'
import { Kysely, sql } from 'kysely'
import { expect, test, vi } from 'vitest'
import { postgresDialect } from '../../src/postgres.ts'
import {
  claim,
  claimRequest,
  commit,
  commitOf,
  enqueue,
  newRun,
  nothing,
  START,
  startRun,
  stepDone,
} from '../conformance/store/scenario.ts'
import { openSchema, type Schema } from './postgres-schema.ts'

test('connections prepare a statement once', async () => {
  const schema = await openSchema()
  const pool = schema.pool(1)
  const store = await schema.store(pool)
  const claimed = await startRun(store, 'a')
  for (let seq = 1; seq < 20; seq++) await commit(store, commitOf(claimed, [stepDone(seq)]))
  const { rows } = await pool.query<{ calls: number }>(`
    select (generic_plans + custom_plans)::int as calls from pg_prepared_statements
    where statement like 'insert into "durably_journal"%select r.number, $%'`)
  expect(rows).toEqual([{ calls: 19 }])
})

/** A store, and how many statements it has sent since it was last asked. */
async function openCounted() {
  const schema = await openSchema()
  const pool = schema.pool(1)
  let statements = 0
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    const counted = (...args: unknown[]): unknown => {
      statements++
      return query(...args)
    }
    Object.assign(client, { query: counted })
  })
  const store = await schema.store(pool)
  const sent = (): number => {
    const count = statements
    statements = 0
    return count
  }
  sent()
  return { store, sent }
}

test('a run is claimed by the statement that makes it', async () => {
  const { store, sent } = await openCounted()
  const { claimed } = await store.write(
    { ...nothing, runs: [newRun('a'), newRun('b')], claim: claimRequest() },
    START,
  )
  expect(claimed).toHaveLength(2)
  expect(sent()).toBe(1)
})

test('new runs without concurrency key and labels are written by one statement', async () => {
  const { store, sent } = await openCounted()
  await enqueue(store, [newRun('a'), newRun('b')])
  await enqueue(store, [newRun('c', { idempotencyKey: 'once' })])
  expect(sent()).toBe(2)
  expect((await store.journal('b', 0, 10))?.entries).toMatchObject([
    { seq: 1, kind: 'run:trigger' },
  ])
})

test('two on one pool share its connections, and what is prepared', async () => {
  const schema = await openSchema()
  const pool = schema.pool(1)
  const one = new Kysely<unknown>({ dialect: postgresDialect({ pool }) })
  const other = new Kysely<unknown>({ dialect: postgresDialect({ pool }) })
  const select = (db: Kysely<unknown>, n: number) => sql`select ${n}::int as n`.execute(db)
  expect((await select(one, 1)).rows).toEqual([{ n: 1 }])
  expect((await select(other, 2)).rows).toEqual([{ n: 2 }])
  const { rows } = await pool.query('select 1 from pg_prepared_statements')
  expect(rows).toHaveLength(1)
})

test('texts beyond a limit stay unprepared', async () => {
  const schema = await openSchema()
  const pool = schema.pool(1)
  const db = new Kysely<unknown>({ dialect: postgresDialect({ pool }) })
  for (let i = 0; i < 1010; i++) await sql`select ${i}::int as ${sql.id(`n${i}`)}`.execute(db)
  const { rows } = await pool.query('select 1 from pg_prepared_statements')
  expect(rows).toHaveLength(1000)
})

test('destroying Kysely leaves the pool open', async () => {
  const schema = await openSchema()
  const pool = schema.pool()
  const db = new Kysely<unknown>({ dialect: postgresDialect({ pool }) })
  await sql`select 1`.execute(db)
  await db.destroy()
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})

test('a connection that breaks as it is handed out for the first time does not end the process', async () => {
  const schema = await openSchema()
  const pool = schema.pool(1)
  const db = new Kysely<unknown>({ dialect: postgresDialect({ pool }) })
  // As when the server's farewell comes with its greeting: the pool listens no more, whoever asked for it not yet.
  pool.once('acquire', (client: EventEmitter) => {
    process.nextTick(() => client.emit('error', new Error('terminated')))
  })
  expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
})

test('connections that break while nobody uses them are replaced', async () => {
  const schema = await openSchema()
  const pool = schema.pool(1)
  const db = new Kysely<unknown>({ dialect: postgresDialect({ pool }) })
  await sql`select 1`.execute(db)
  expect(await schema.terminate()).toBe(1)
  // The server's farewell may be on its way still when its session is gone.
  await vi.waitUntil(() => pool.totalCount === 0)
  expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
  const open = db.transaction().execute(async (trx) => {
    await sql`select 1`.execute(trx)
    expect(await schema.terminate()).toBe(1)
    await untilGone(schema)
    await sql`select 1`.execute(trx)
  })
  await expect(open).rejects.toThrow()
  expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
})

async function untilGone(schema: Schema): Promise<void> {
  const find = `select 1 from pg_stat_activity where application_name = $1`
  while ((await schema.query(find, [schema.name])).length > 0) continue
}

test('statements fit again after another process upgraded the tables', async () => {
  const schema = await openSchema()
  const store = await schema.store(schema.pool(1))
  await enqueue(store, [newRun('a'), newRun('b')])
  expect(await store.run('a')).toMatchObject({ id: 'a' })
  expect(await claim(store, { limit: 1 })).toHaveLength(1)
  await schema.query('alter table durably_runs add column later text')
  expect(await store.run('a')).toMatchObject({ id: 'a' })
  await schema.query('alter table durably_runs add column much_later text')
  expect(await claim(store, { limit: 1 })).toHaveLength(1)
})
