import BetterSqlite from 'better-sqlite3'
import type { Dialect } from 'kysely'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { createDurably, defineJob } from '../../src/index.ts'
import { postgresDialect } from '../../src/postgres.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { START } from '../conformance/store/scenario.ts'
import { openSchema, openTwo } from './postgres-schema.ts'

interface Opened {
  readonly dialect: Dialect
  workers(): Promise<unknown[]>
}

async function openSqlite(): Promise<Opened> {
  const database = new BetterSqlite(':memory:')
  onTestFinished(() => void database.close())

  return {
    dialect: sqliteDialect({ database }),
    workers: async () => database.prepare('select id from durably_workers').all(),
  }
}

async function openPostgres(): Promise<Opened> {
  const schema = await openSchema()
  return {
    dialect: postgresDialect({ pool: schema.pool() }),
    workers: async () => [...(await schema.query('select id from durably_workers'))],
  }
}

test.each([
  ['SQLite', openSqlite],
  ['PostgreSQL', openPostgres],
])('%s: a worker that stops leaves nothing behind, nor does processUntilIdle', async (_, open) => {
  const { dialect, workers } = await open()
  const seen: unknown[][] = []
  const job = defineJob({
    name: 'job',
    input: z.unknown(),
    run: async () => void seen.push(await workers()),
  })
  const durably = createDurably({ dialect, jobs: { job } })
  onTestFinished(() => durably.close())
  await durably.migrate()

  for (let calls = 1; calls <= 3; calls++) {
    await durably.jobs.job.trigger(null)
    expect(await durably.processUntilIdle()).toEqual({ executed: 1 })
    expect(await workers()).toEqual([])
  }
  await durably.init()
  await durably.jobs.job.triggerAndWait(null)
  await durably.stop()
  expect(await workers()).toEqual([])
  // Each had a row of its own while it worked.
  expect(seen.map((rows) => rows.length)).toEqual([1, 1, 1, 1])
})

test('PostgreSQL: a worker that others were faster than leaves no row behind', async () => {
  const { schema, held, first } = await openTwo()
  const job = defineJob({ name: 'job', input: z.unknown(), run: () => {} })
  const durably = createDurably({
    dialect: postgresDialect({ pool: schema.pool() }),
    jobs: { job },
  })
  onTestFinished(() => durably.close())
  const { id } = await durably.jobs.job.trigger(null)
  const transaction = held.hold()
  const locking = first.watch(id, id, START)
  await transaction.reached
  expect(await durably.processUntilIdle({ maxTime: '50ms' })).toEqual({ executed: 0 })
  transaction.commit()
  await locking
  expect(await schema.query('select id from durably_workers')).toEqual([])
})
