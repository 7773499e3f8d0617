import type { ColumnType } from './sql-dialect.ts'
import type { Sql } from './sql.ts'
import type { Params, Statement } from './statement.ts'

/** A statement over rows that come with it. */
export interface RowsStatement {
  /** How many rows one statement takes. */
  readonly limit: number
  /**
   * The statements, one after the other, that take all rows; each row has its values in the order of the columns.
   * `others` are the parameters that stand before and behind the rows, none of which is called like a column.
   */
  over(
    rows: readonly (readonly unknown[])[],
    others?: Readonly<Record<string, unknown>>,
  ): readonly (readonly [Statement, Params])[]
}

/** `text` writes the statement, given the rows as a table called `name`. A row of nulls must change nothing. */
export function createRowsStatement(
  sql: Sql,
  name: string,
  columns: Readonly<Record<string, ColumnType>>,
  text: (rows: string) => string,
): RowsStatement {
  const names = Object.keys(columns)
  if (sql.rowSizes.length > 0) return inSizes(sql, name, columns, text)
  const statement = sql.write(text(sql.rows(name, '$rows', columns)))
  const single = sql.write(text(oneRow(name, columns)))
  return {
    limit: Number.POSITIVE_INFINITY,
    over: (rows, others) => {
      const [first] = rows
      if (first === undefined) return []
      if (rows.length === 1) return [[single, { ...others, ...toObject(names, first) }]]
      const objects = rows.map((row) => toObject(names, row))
      return [[statement, { ...others, rows: JSON.stringify(objects) }]]
    },
  }
}

/**
 * The rows as values, in as few sizes as there need to be statements: the database keeps them prepared. To take a
 * JSON array apart costs SQLite more than to write what is in it.
 */
function inSizes(
  sql: Sql,
  name: string,
  columns: Readonly<Record<string, ColumnType>>,
  text: (rows: string) => string,
): RowsStatement {
  const names = Object.keys(columns)
  const statements = new Map<number, Statement>()
  const limit = Math.max(...sql.rowSizes)

  function statementOf(size: number): Statement {
    const statement = statements.get(size) ?? sql.write(text(valuesOf(size)))
    statements.set(size, statement)
    return statement
  }

  function valuesOf(size: number): string {
    if (size === 1) return oneRow(name, columns)
    const row = `(${names.map((column) => `$${column}::text`).join(', ')})`
    const fields = names.map((column, i) => `column${i + 1} as ${column}`)
    const values = Array.from({ length: size }, () => row).join(', ')
    return `(select ${fields.join(', ')} from (values ${values})) as ${name}`
  }

  return {
    limit,
    over: (rows, others) => {
      const all: [Statement, Params][] = []
      for (let at = 0; at < rows.length; at += limit) {
        const some = rows.slice(at, at + limit)
        const size = sql.rowSizes.find((known) => known >= some.length) ?? limit
        const statement = statementOf(size)
        // Each stored step comes this way, and `flat` takes three times as long.
        const params: unknown[] = []
        for (const row of some) params.push(...row)
        while (params.length < size * names.length) params.push(null)
        all.push([statement, others === undefined ? params : around(statement, params, others)])
      }
      return all
    },
  }
}

/** Half as long to plan as a list of one. */
function oneRow(name: string, columns: Readonly<Record<string, ColumnType>>): string {
  const values = Object.entries(columns).map(([column, type]) => `$${column}::${type} as ${column}`)
  return `(select ${values.join(', ')}) as ${name}`
}

/** All values in the order of their places, of which the rows' are next to each other. */
function around(
  { parameters }: Statement,
  rows: readonly unknown[],
  others: Readonly<Record<string, unknown>>,
): unknown[] {
  const before = parameters.findIndex((name) => !(name in others))
  const valuesOf = (names: readonly string[]) => names.map((name) => others[name])
  return [
    ...valuesOf(parameters.slice(0, before)),
    ...rows,
    ...valuesOf(parameters.slice(before + rows.length)),
  ]
}

function toObject(names: readonly string[], row: readonly unknown[]): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  names.forEach((name, i) => {
    object[name] = row[i]
  })
  return object
}
