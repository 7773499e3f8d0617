import { SQLocalKysely } from 'sqlocal/kysely'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { createDurably, defineJob } from '../../src/index.ts'
import { backends } from '../backends.ts'

const double = defineJob({
  name: 'double',
  input: z.object({ n: z.number() }),
  run: (step, { n }) => step.run('double', () => n * 2),
})

function open(path: string) {
  const client = new SQLocalKysely(path)
  const durably = createDurably({ dialect: client.dialect, jobs: { double } })
  onTestFinished(async () => {
    await durably.close()
    await client.destroy()
  })
  return { client, durably }
}

test('the tests of this project run on OPFS', async () => {
  expect(backends.map(({ name }) => name)).toEqual(['SQLocal on OPFS'])
  const { client } = open('storage.db')
  expect(await client.getDatabaseInfo()).toMatchObject({ storageType: 'opfs' })
})

test('memory that was asked for is memory', async () => {
  const { client, durably } = open(':memory:')
  await durably.init()
  expect(await durably.jobs.double.triggerAndWait({ n: 2 })).toMatchObject({ output: 4 })
  expect(await client.getDatabaseInfo()).toMatchObject({ storageType: 'memory' })
})

test('commits with the journal that other tabs can open, and waits for the disk', async () => {
  const { durably, client } = open('pragmas.db')
  await durably.migrate()
  expect(await client.sql`pragma journal_mode`).toEqual([{ journal_mode: 'delete' }])
  expect(await client.sql`pragma synchronous`).toEqual([{ synchronous: 2 }])
})

test('a transaction that SQLite rolled back by itself holds nobody up', async () => {
  const { durably, client } = open('rollback.db')
  await durably.init()
  await client.sql`create table if not exists seats (id integer primary key)`
  await client.sql`delete from seats`
  const db = durably.db.$extendTables<{ seats: { id: number } }>()
  const twice = db.transaction().execute(async (trx) => {
    await trx.insertInto('seats').values({ id: 1 }).execute()
    await trx.insertInto('seats').orRollback().values({ id: 1 }).execute()
  })
  await expect(twice).rejects.toThrow('UNIQUE constraint failed')
  expect(await db.selectFrom('seats').selectAll().execute()).toEqual([])
  expect(await durably.jobs.double.triggerAndWait({ n: 3 })).toMatchObject({ output: 6 })
})

test("the app's own statements on the client do not get into Durably's transactions", async () => {
  const { durably, client } = open('beside.db')
  await durably.init()
  await client.sql`create table if not exists notes (text text)`
  const { count } = { count: 20 }
  const beside = Array.from(
    { length: count },
    (_, i) => client.sql`insert into notes values (${i})`,
  )
  const runs = durably.jobs.double.batchTrigger(Array.from({ length: count }, (_, n) => ({ n })))
  await Promise.all([...beside, runs])
  const [row] = await client.sql<{ n: number }>`select count(*) as n from notes`
  expect(row?.n).toBeGreaterThanOrEqual(count)
  expect(await runs).toHaveLength(count)
})

test('a tab that keeps the database is waited for as long as SQLite waits for a lock', async () => {
  const { client, durably } = open('kept.db')
  await durably.migrate()
  const { databasePath } = await client.getDatabaseInfo()
  const kept = Promise.withResolvers<void>()
  const over = navigator.locks.request(`durably:line:${databasePath}`, () => kept.promise)
  await expect(durably.getRuns()).rejects.toThrow(/Waited 5 s for another tab/)
  kept.resolve()
  await over
  expect(await durably.getRuns()).toEqual([])
})
