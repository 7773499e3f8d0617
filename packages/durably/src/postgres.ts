import type { Dialect } from 'kysely'
import { requireFunctions } from './core/options.ts'
import { requireOptions } from './core/require-object.ts'
import type { Wakeups } from './core/wakeups.ts'
import { createEnv } from './env.ts'
import type { PgPool, PostgresSource } from './store/sql/dialects/postgres-client.ts'
import { createPoolDialect } from './store/sql/dialects/postgres-pool-dialect.ts'
import { createPostgresWakeups } from './store/sql/dialects/postgres-wakeups.ts'

export type {
  PgPool,
  PGliteClient,
  PostgresJsClient,
  PostgresSource,
} from './store/sql/dialects/postgres-client.ts'

/** Options of `postgresDialect`. */
export interface PostgresDialectOptions {
  /** A `pg.Pool` of at least two connections. It stays open: you end it. */
  readonly pool: PgPool
}

/** Kysely's dialect for `pg`, with prepared statements, and with wake-ups that `createDurably` uses by default. */
export interface PostgresDialect extends Dialect {
  readonly wakeups: Wakeups
}

/**
 * A drop-in for Kysely's `PostgresDialect`: each connection prepares a statement once, NOTIFY wakes other processes,
 * and a broken connection does not end the process. Prepared statements have names, so the pool must connect to the
 * database itself, or through a pooler that supports them (PgBouncer since 1.21). Throws `ValidationError` if `pool` is
 * not a pool.
 *
 * @example
 * const pool = new Pool({ connectionString: 'postgres://localhost/app' })
 * const durably = createDurably({ dialect: postgresDialect({ pool }) })
 */
export function postgresDialect(options: PostgresDialectOptions): PostgresDialect {
  requireOptions(options, { pool: true }, 'postgresDialect({ pool }): ')
  const { pool } = options
  requireFunctions(pool, 'pool', ['connect', 'query', 'on'])
  const dialect = createPoolDialect(pool, createEnv())
  return {
    createAdapter: () => dialect.createAdapter(),
    createDriver: () => dialect.createDriver(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    wakeups: postgresWakeups(pool),
  }
}

/**
 * Wakes the other processes on a database by LISTEN and NOTIFY, through a `pg.Pool`, a postgres.js client or a PGlite.
 * It keeps one connection of a pool for itself. Throws `ValidationError` for anything else. If LISTEN does not work,
 * for example behind a pooler in transaction mode, `worker:error` says so and polling goes on.
 *
 * @example
 * const durably = createDurably({
 *   dialect: new PostgresJSDialect({ postgres: sql }),
 *   wakeups: postgresWakeups(sql),
 * })
 */
export function postgresWakeups(source: PostgresSource): Wakeups {
  return createPostgresWakeups(source, createEnv())
}
