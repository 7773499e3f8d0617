import type { Dialect } from 'kysely'
import type { Env } from '../../../core/env.ts'
import { ValidationError } from '../../../core/error.ts'
import { show } from '../../../core/show.ts'
import type { SqlDialect } from '../sql-dialect.ts'
import { createPostgresDialect } from './postgres.ts'
import { createSqliteDialect } from './sqlite.ts'

export interface DialectOptions {
  readonly dialect: Dialect
  readonly env: Env
  readonly tablePrefix: string
  readonly synchronous: 'full' | 'normal'
}

/** By what the adapter says of the database; names of classes do not survive a bundler. */
export function pickDialect(options: DialectOptions): SqlDialect {
  // Without TypeScript it may be anything.
  const adapter = isDialect(options.dialect) ? options.dialect.createAdapter() : undefined
  if (adapter?.supportsReturning !== true) {
    throw new ValidationError(
      'dialect must be a Kysely dialect for SQLite (better-sqlite3, node:sqlite, libSQL, SQLocal) or PostgreSQL ' +
        `(pg, postgres.js, PGlite), such as sqliteDialect({ database }); got ${show(options.dialect)}`,
    )
  }
  return adapter.supportsTransactionalDdl === true
    ? createPostgresDialect(options)
    : createSqliteDialect(options)
}

function isDialect(value: unknown): value is Dialect {
  const parts = (value ?? {}) as Readonly<Record<string, unknown>>
  return ['createAdapter', 'createDriver', 'createIntrospector', 'createQueryCompiler'].every(
    (name) => typeof parts[name] === 'function',
  )
}
