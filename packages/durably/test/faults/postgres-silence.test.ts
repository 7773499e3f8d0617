import { PostgresDialect, type Dialect } from 'kysely'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../src/core/job.ts'
import { assemble } from '../../src/durably.ts'
import { postgresDialect } from '../../src/postgres.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import { createFastEnv } from '../fast-env.ts'
import { openSchema } from '../store/postgres-schema.ts'
import { startProxy } from './tcp-proxy.ts'

/** A worker on a line that can fall silent, with a run in the middle of its only step. */
async function begin(dialectOver: (pool: pg.Pool) => Dialect) {
  const schema = await openSchema()
  const proxy = await startProxy(process.env.DURABLY_TEST_POSTGRES_URL ?? '')
  const options = `-c search_path=${schema.name}`
  const pool = new pg.Pool({ connectionString: proxy.url, options })
  pool.on('error', () => {})
  // As `postgresDialect` does: a connection that breaks while it is used would end the process.
  pool.on('connect', (client) => client.on('error', () => {}))
  onTestFinished(() => void pool.end().catch(() => {}))
  const env = createFastEnv()
  const { store } = createSqlStore({ dialect: dialectOver(pool), env })
  const durably = assemble(store, env, {})
  const begun = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  let executions = 0
  const job = defineJob({
    name: 'job',
    input: z.unknown(),
    run: (step) =>
      step.run('effect', async () => {
        begun.resolve()
        await finish.promise
        return ++executions
      }),
  })
  const handle = durably.register({ job }).job
  await durably.init()
  const { id } = await handle.trigger(null)
  await begun.promise
  return { proxy, durably, handle, id, finish: finish.resolve }
}

const dialects: [name: string, over: (pool: pg.Pool) => Dialect][] = [
  ['postgresDialect', (pool) => postgresDialect({ pool })],
  ["Kysely's", (pool) => new PostgresDialect({ pool })],
]

test.each(dialects)(
  'connections that die without a word stop nothing for long: %s',
  async (_, over) => {
    const { proxy, durably, handle, id, finish } = await begin(over)
    proxy.mute()
    finish()
    expect(await durably.waitForRun(id)).toMatchObject({ output: 1, attempt: 1 })
    expect(await handle.triggerAndWait(null)).toMatchObject({ output: 2 })
    await durably.close()
  },
)

test('a worker stops though the database is silent', async () => {
  const { proxy, durably } = await begin((pool) => postgresDialect({ pool }))
  proxy.stall()
  await durably.stop({ timeout: '1s' })
  await durably.close()
})
