import type { Dialect } from 'kysely'
import type { SqlDialect } from '../sql-dialect.ts'
import { createPostgresDriver } from './postgres-driver.ts'
import { isConflict, isRejection, isTableMissing } from './postgres-errors.ts'

const CLOCK = '(extract(epoch from clock_timestamp()) * 1000)::int8'

// Any number that other products are unlikely to lock.
const MIGRATION_LOCK = '7310868735422185471'

/** PostgreSQL, on many connections or on one. */
export function createPostgresDialect({ dialect }: { readonly dialect: Dialect }): SqlDialect {
  return {
    kysely: {
      createAdapter: () => dialect.createAdapter(),
      createDriver: () => createPostgresDriver(dialect.createDriver()),
      createIntrospector: (db) => dialect.createIntrospector(db),
      createQueryCompiler: () => dialect.createQueryCompiler(),
    },
    transaction: { isolationLevel: 'read committed' },
    numbered: true,
    parameter: (position, type) => `$${position}::${type}`,
    text: 'text collate "C"',
    serial: 'int8 generated always as identity',
    clustered: '',
    // Those that a statement would find, in whichever schema of the search_path they are.
    columnsOf: `
      select t.name as table_name, a.attname as column_name
      from json_array_elements_text(($tables::text)::json) as t(name)
      join pg_attribute a on a.attrelid = to_regclass('"' || t.name || '"')
      where a.attnum > 0 and not a.attisdropped`,
    // Others may be at it for longer than the app lets its statements take.
    migrationLock: [
      'set local lock_timeout = 0',
      'set local statement_timeout = 0',
      `select pg_advisory_xact_lock(${MIGRATION_LOCK})`,
      'set local lock_timeout to default',
      'set local statement_timeout to default',
    ],
    reservedPrefix: null,
    forShare: 'for share of r',
    forUpdate: 'for update of r',
    skipLocked: 'for update skip locked',
    changesInQueries: true,
    leaseNow: `(${CLOCK} + $skew::int8)`,
    isShared: () => true,
    dataVersion: null,
    isWatched: () => false,
    limit: (parameter) => `limit ${parameter}::int8`,
    rows: (name, parameter, columns) => {
      const fields = Object.entries(columns).map(([column, type]) => `${column} ${type}`)
      const [first = ''] = Object.keys(columns)
      return few(
        `json_to_recordset((${parameter}::text)::json) as f(${fields.join(', ')})`,
        first,
        name,
      )
    },
    rowSizes: [],
    texts: (name, parameter) =>
      few(`json_array_elements_text((${parameter}::text)::json) as f(value)`, 'value', name),
    searchEach: (outer, name, table, search) =>
      `${outer} cross join lateral (select p.id, p.priority, p.due_at from ${table} p ${search}) ${name}`,
    // Without an order it would rather read a table of which it takes it that much fits.
    hasAny: (outer, table, condition, order) =>
      `exists (select 1 from ${outer} cross join lateral (
        select 1 from ${table} p where ${condition} order by ${order} limit 1) f)`,
    unsearched: (column) => `(${column} || '')`,
    json: (column) => `${readable(column)}::json`,
    isRejected: isRejection,
    isTableMissing,
    isConflict,
  }
}

// Whose backslash is not itself escaped: a NUL, and one half of a character without the other.
const unreadable = String.raw`(?<!\\)((?:\\\\)*)\\u(0000|[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u)[dD][c-fC-F]..)`

/** JSON text without what no text of PostgreSQL may have: one cut emoji would spoil a whole view. */
function readable(column: string): string {
  const [pattern, replacement] = [unreadable, String.raw`\1\\ufffd`].map(quote)
  return `regexp_replace(${column}, ${pattern}, ${replacement}, 'g')`
}

/** Means the same however `standard_conforming_strings` is set. */
function quote(text: string): string {
  return `e'${text.replaceAll('\\', '\\\\')}'`
}

/**
 * The rows of a function of which `column` is never null. The condition is always true, but PostgreSQL takes it that
 * few rows meet it. Without it, it takes it that they are a hundred, and rather than look up so many it reads tables
 * of up to some ten thousand rows.
 */
function few(rows: string, column: string, name: string): string {
  return `(select f.* from ${rows} where f.${column}::text || '' = f.${column}::text) as ${name}`
}
