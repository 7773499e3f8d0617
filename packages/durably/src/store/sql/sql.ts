import type { SqlDialect } from './sql-dialect.ts'
import { compile, type Statement } from './statement.ts'
import { nameTables, type Tables } from './tables.ts'

/** What statements are made of: the database's way of saying things, and the tables. */
export interface Sql extends SqlDialect {
  readonly prefix: string
  readonly tables: Tables
  /** A statement that changes nothing. */
  read(text: string): Statement
  write(text: string): Statement
}

/** Throws `ValidationError` when tables cannot be named so. */
export function createSql(dialect: SqlDialect, prefix: string): Sql {
  return {
    ...dialect,
    prefix,
    tables: nameTables(prefix, dialect.reservedPrefix),
    read: (text) => compile(text, true, dialect),
    write: (text) => compile(text, false, dialect),
  }
}
