import type { Dialect, TransactionSettings } from 'kysely'
import type { ParameterStyle } from './statement.ts'

export type ColumnType = 'text' | 'int8' | 'bool'

/** What one database says differently from another. The statements are written once, over this. */
export interface SqlDialect extends ParameterStyle {
  /** The user's dialect, with a driver that does what the store needs and closes only what it opened. */
  readonly kysely: Dialect
  readonly transaction: TransactionSettings

  /** The type of text that sorts by code point, whatever the database's locale. */
  readonly text: string
  /** The type of a column that the database numbers the rows by. */
  readonly serial: string
  /** What ends the definition of a table that is searched by its primary key alone. */
  readonly clustered: string
  /** Selects `table_name` and `column_name` of those of `$tables` (JSON) that exist. */
  readonly columnsOf: string
  /** Statements that keep other processes from migrating until the transaction ends; none where it does so anyway. */
  readonly migrationLock: readonly string[]
  /** What begins the names that the database keeps for itself; null where a table may have any. */
  readonly reservedPrefix: string | null

  /** What ends a select that locks its rows of the table called `r`; nothing where writers are alone anyway. */
  readonly forShare: string
  readonly forUpdate: string
  /** What ends a select from one table that locks its rows, but for those that others have locked. */
  readonly skipLocked: string

  /** Whether a statement may select from others that change something: each is a way to the server and back. */
  readonly changesInQueries: boolean

  /** The time by which leases run: `$leaseNow`, or the database's own clock plus `$skew` where that is null. */
  readonly leaseNow: string
  /** Whether other machines, with other clocks, may use this database; known once it is used. */
  isShared(): boolean
  /** Reads a number, `data_version`, that changes with every commit of another connection; null where there is none. */
  readonly dataVersion: string | null
  /** Whether looking at it often costs next to nothing; known once the database is used. */
  isWatched(): boolean

  /** What ends a select that returns at most `parameter` rows. */
  limit(parameter: string): string
  /** The objects of the JSON array `parameter` as rows called `name`. */
  rows(name: string, parameter: string, columns: Readonly<Record<string, ColumnType>>): string
  /** In which sizes, ascending, many rows are sent as values of their own; empty where `rows` costs less. */
  readonly rowSizes: readonly number[]
  /** The strings of the JSON array `parameter` as rows called `name`, with one column `value`. */
  texts(name: string, parameter: string): string
  /** `outer`, joined with the rows of `table`, called `p` in `search` and `name` outside, that `search` finds for each. */
  searchEach(outer: string, name: string, table: string, search: string): string
  /** Whether `table`, called `p` in `condition` and `order`, which an index has, has a row for any of `outer`. */
  hasAny(outer: string, table: string, condition: string, order: string): string
  /** A column that rows are not to be searched by, though an index has it. */
  unsearched(column: string): string
  /** A column of JSON text in a form that `->` applies to. */
  json(column: string): string

  /** The database understood and refuses: sending it again cannot help. */
  isRejected(error: unknown): boolean
  /** A table that the statement names does not exist. */
  isTableMissing(error: unknown): boolean
  /** The database took the whole transaction back in favour of another: it may be tried again as it was. */
  isConflict(error: unknown): boolean
}
