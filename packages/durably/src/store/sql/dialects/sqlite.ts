import type { Dialect, Driver } from 'kysely'
import type { SqlDialect } from '../sql-dialect.ts'
import { clientOf } from './libsql-client.ts'
import { createHeldDriver } from './libsql-driver.ts'
import { createSqliteDriver, type SqliteDriverOptions } from './sqlite-driver.ts'
import { isRejection, isTableMissing } from './sqlite-errors.ts'
import { sqlocalClientOf } from './sqlocal-client.ts'
import { createSqlocalDriver } from './sqlocal-driver.ts'

export interface SqliteOptions extends SqliteDriverOptions {
  readonly dialect: Dialect
  readonly tablePrefix: string
}

const CLOCK = `cast(round((julianday('now') - 2440587.5) * 86400000) as integer)`

/** SQLite, whoever drives it: a library in this process, a worker of the page, or a libSQL client of a file or server. */
export function createSqliteDialect(options: SqliteOptions): SqlDialect {
  const { dialect } = options
  let made: Driver | undefined
  // Once: with a url, each driver makes a client of its own.
  const userDriver = () => (made ??= dialect.createDriver())
  return {
    kysely: {
      createAdapter: () => dialect.createAdapter(),
      createDriver: () => pickDriver(userDriver(), options),
      createIntrospector: (db) => dialect.createIntrospector(db),
      createQueryCompiler: () => dialect.createQueryCompiler(),
    },
    transaction: {},
    numbered: false,
    parameter: () => '?',
    text: 'text',
    serial: 'integer primary key',
    clustered: 'without rowid',
    // To SQLite a name is the same with other capitals.
    columnsOf: `
      select m.name as table_name, c.name as column_name
      from sqlite_master m join pragma_table_info(m.name) c
      where m.name collate nocase in (select t.value from json_each($tables::text) t)`,
    migrationLock: [],
    reservedPrefix: 'sqlite_',
    forShare: '',
    forUpdate: '',
    skipLocked: '',
    changesInQueries: false,
    leaseNow: `coalesce($leaseNow::int8, ${CLOCK} + $skew::int8)`,
    isShared: () => {
      const client = clientOf(userDriver())
      return client !== null && client.protocol !== 'file'
    },
    // As a table it would be prepared anew each time it is read.
    dataVersion: 'pragma data_version',
    isWatched: () => {
      const client = clientOf(userDriver())
      return client === null ? sqlocalClientOf(userDriver()) === null : client.protocol === 'file'
    },
    // A parameter that stands alone here has the statement planned anew each time it is given a value.
    limit: (parameter) => `limit ${parameter}::int8 + 0`,
    rows: (name, parameter, columns) => {
      const fields = Object.keys(columns).map((column) => `value ->> '${column}' as ${column}`)
      return `(select ${fields.join(', ')} from json_each(${parameter}::text)) as ${name}`
    },
    // Half of the rows of a statement may be padding, and a statement has some thousand parameters at most.
    rowSizes: [1, 2, 4, 8, 16, 32, 64, 128],
    texts: (name, parameter) => `json_each(${parameter}::text) as ${name}`,
    searchEach: (outer, name, table, search) =>
      `${outer} cross join ${table} ${name} on ${name}.rowid in (select p.rowid from ${table} p ${search})`,
    hasAny: (outer, table, condition) =>
      `exists (select 1 from ${outer} cross join ${table} p where ${condition})`,
    // Its planner would search all running runs rather than the few that a batch names.
    unsearched: (column) => `+${column}`,
    json: (column) => column,
    isRejected: isRejection,
    isTableMissing,
    // Whoever has the write lock is alone.
    isConflict: () => false,
  }
}

function pickDriver(driver: Driver, options: SqliteOptions): Driver {
  const sqlocal = sqlocalClientOf(driver)
  if (sqlocal !== null) return createSqlocalDriver(driver, sqlocal, options)
  const client = clientOf(driver)
  if (client === null) return createSqliteDriver(driver, options)
  return client.protocol === 'file' ? createHeldDriver(driver, client, options) : driver
}
