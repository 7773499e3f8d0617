import { CompiledQuery, PostgresDialect, type Dialect, type Driver } from 'kysely'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { createEnv } from '../../src/env.ts'
import { postgresDialect } from '../../src/postgres.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import { enqueue, newRun, START, startRun } from '../conformance/store/scenario.ts'
import { openSchema } from '../store/postgres-schema.ts'
import { startProxy } from './tcp-proxy.ts'

const PATIENCE_MS = 200

/** As it was before 0.29: a connection that cannot be rolled back is used again. */
class OlderPostgresDialect extends PostgresDialect {
  override createDriver(): Driver {
    const driver = super.createDriver()
    driver.rollbackTransaction = async (connection) => {
      await connection.executeQuery(CompiledQuery.raw('rollback'))
    }
    return driver
  }
}

const dialects: [string, (pool: pg.Pool) => Dialect][] = [
  ['our dialect', (pool) => postgresDialect({ pool })],
  ["Kysely's dialect", (pool) => new PostgresDialect({ pool })],
  ["an earlier release of Kysely's dialect", (pool) => new OlderPostgresDialect({ pool })],
]

test.each(dialects)(
  '%s: a transaction that began too late is nobody else’s',
  async (_, dialectOver) => {
    const schema = await openSchema()
    const proxy = await startProxy(process.env.DURABLY_TEST_POSTGRES_URL ?? '')
    const pool = new pg.Pool({
      connectionString: proxy.url,
      options: `-c search_path=${schema.name}`,
      max: 1,
      query_timeout: PATIENCE_MS,
    })
    onTestFinished(() => pool.end())
    const { store } = createSqlStore({ dialect: dialectOver(pool), env: createEnv() })
    await store.migrate()
    const { run } = await startRun(store, 'a')

    proxy.stall()
    const late = enqueue(store, [newRun('b', { concurrencyKey: 'key' })])
    await expect(late).rejects.toThrow('timeout')
    proxy.heal()

    const lease = { runId: run.id, generation: run.generation }
    const entry = { seq: 3, kind: 'step:complete', name: 'step', at: START, data: '{}' } as const
    const commit = { lease, concurrencyKey: null, entries: [entry] }
    const written = await store.write(
      { commits: [commit], runs: [], sends: [], claim: null },
      START,
    )
    expect(written.commits).toEqual(['committed'])
    // As anyone else sees it.
    expect(
      await schema.query(`select seq::int from durably_journal where kind = 'step:complete'`),
    ).toEqual([{ seq: 3 }])
  },
)
