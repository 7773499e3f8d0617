import { CompiledQuery, type DatabaseConnection } from 'kysely'
import { ValidationError } from '../../../core/error.ts'
import { isBusy } from './sqlite-errors.ts'

/** Only libSQL knows such tables, all of its versions do, and `explain` makes none. */
export const libsqlOnly = 'explain create table if not exists durably_probe (x) random rowid'

/**
 * Throws `ValidationError` for a libSQL that is driven like any SQLite. Its statements stay open when they meet a lock,
 * and what is written after that is acknowledged and lost: there it has to be asked for locks in another way.
 */
export async function refuseLibsql(connection: DatabaseConnection): Promise<void> {
  try {
    await connection.executeQuery(CompiledQuery.raw(libsqlOnly))
  } catch (error) {
    if (isBusy(error)) throw error
    return
  }
  throw new ValidationError(UNSAFE)
}

const UNSAFE =
  'The dialect leads to libSQL, and Durably cannot see its client: acknowledged writes could be lost. Pass what it ' +
  'knows: new LibsqlDialect({ client }) itself, not another dialect around it; or, for a Database of the package ' +
  'libsql, sqliteDialect({ database }) of @coji/durably/sqlite.'
