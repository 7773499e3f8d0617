import BetterSqlite from 'better-sqlite3'
import { sql } from 'kysely'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import type { Env } from '../../src/core/env.ts'
import { DurablyError } from '../../src/core/error.ts'
import { defineJob } from '../../src/core/job.ts'
import { assemble } from '../../src/durably.ts'
import { createEnv } from '../../src/env.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { createSharedDriver } from '../../src/store/sql/shared-driver.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import { backends } from '../backends.ts'
import { createFastEnv } from '../fast-env.ts'

const onSql = backends.filter(({ name }) => name !== 'memory')
// Of the tests' pools.
const MOST_CONNECTIONS = 4

test.each(onSql)(
  'a trigger awaited inside transactions that keep all connections is refused, and all goes on: $name',
  async (backend) => {
    const database = await backend.open()
    onTestFinished(() => database.close())
    const dialect = database.dialect?.()
    if (dialect === undefined) throw new Error(`${backend.name} has no dialect`)
    const env = createFastEnv()
    const { store, db } = createSqlStore({ dialect, env })
    const isSingle = dialect.createAdapter().supportsMultipleConnections === false
    const transactions = isSingle ? 1 : MOST_CONNECTIONS

    const started = Promise.withResolvers<void>()
    const allKept = Promise.withResolvers<void>()
    let executions = 0
    const job = defineJob({
      name: 'job',
      input: z.boolean(),
      run: async (step, isSlow) => {
        await step.run('charge', async () => {
          executions++
          started.resolve()
          if (isSlow) await allKept.promise
        })
      },
    })
    const durably = assemble(store, env, { heartbeatInterval: '1m', staleThreshold: '10m' })
    const handle = durably.register({ job }).job
    await durably.init()
    const { id } = await handle.trigger(true)
    await started.promise

    let kept = 0
    const keep = () =>
      db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx)
        if (++kept === transactions) allKept.resolve()
        await allKept.promise
        await handle.trigger(false)
      })
    const refused = await Promise.allSettled(Array.from({ length: transactions }, keep))
    for (const { status, ...rest } of refused) {
      expect(status).toBe('rejected')
      const { reason } = rest as { reason: unknown }
      expect(reason).toBeInstanceOf(DurablyError)
      expect(reason).toMatchObject({ code: 'store' })
      expect(String(reason)).toMatch(/each waits for the other.*before or after the transaction/)
    }

    expect(await durably.waitForRun(id)).toMatchObject({ status: 'completed', attempt: 1 })
    expect(executions).toBe(1)
    await handle.triggerAndWait(false)
    expect(await durably.getRuns()).toHaveLength(2)
    await durably.close()
  },
)

/** A time that passes when it is told to: five seconds, whatever was to come after. */
function createHeldEnv(): Env & { pass(): void } {
  const timers = new Set<() => void>()
  return {
    ...createEnv(),
    after: (_, fn) => {
      const timer = () => fn()
      timers.add(timer)
      return () => timers.delete(timer)
    },
    pass: () => {
      const due = [...timers]
      timers.clear()
      for (const timer of due) timer()
    },
  }
}

/** A driver whose only connection is lent. */
async function lendConnection() {
  const database = new BetterSqlite(':memory:')
  onTestFinished(() => void database.close())
  const env = createHeldEnv()
  const driver = createSharedDriver(sqliteDialect({ database }), env)
  const first = await driver.acquireConnection()
  return { env, driver, first }
}

test('a connection that came too late is given back', async () => {
  const { env, driver, first } = await lendConnection()
  const next = driver.acquireConnection()
  const late = driver.acquireConnection()
  await driver.releaseConnection(first)
  const second = await next
  env.pass()
  env.pass()
  await expect(late).rejects.toThrow(/Waited 5 s/)
  const last = driver.acquireConnection()
  await driver.releaseConnection(second)
  await driver.releaseConnection(await last)
})

test('a connection that goes round is waited for beyond that time', async () => {
  const { env, driver, first } = await lendConnection()
  const next = driver.acquireConnection()
  const last = driver.acquireConnection()
  await driver.releaseConnection(first)
  const second = await next
  env.pass()
  await driver.releaseConnection(second)
  await driver.releaseConnection(await last)
})
