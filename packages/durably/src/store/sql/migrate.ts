import { ValidationError } from '../../core/error.ts'
import { show } from '../../core/show.ts'
import type { Database, Row, Session } from './database.ts'
import { migrations } from './migrations.ts'
import { toBoolean } from './run-row.ts'
import type { Sql } from './sql.ts'
import { neededNames, tableNames } from './tables.ts'

/** Creates or upgrades the tables. Throws `ValidationError`, having changed nothing, when they are not ours. */
export function createMigrate(sql: Sql, database: Database): () => Promise<void> {
  const { meta } = sql.tables
  const columnsOf = sql.read(sql.columnsOf)
  const sample = sql.read(`select 1 as a_number, 1 = 1 as a_truth`)
  const readVersion = sql.read(`select value from ${meta} where name = 'version'`)
  const lock = sql.migrationLock.map(sql.read)
  const createMeta = sql.write(
    `create table ${meta} (name ${sql.text} primary key not null, value text not null)`,
  )
  const writeVersion = sql.write(`
    insert into ${meta} (name, value) values ('version', $version::text)
    on conflict (name) do update set value = excluded.value`)

  /** Zero where there are no tables yet. */
  async function versionOf(session: Session): Promise<number> {
    const tables = tableNames.map((name) => `${sql.prefix}${name}`)
    const found = await session.rows(columnsOf, { tables: JSON.stringify(tables) })
    if (found.length === 0) return 0
    const columns = found.filter((row) => row.table_name === `${sql.prefix}meta`)
    const names = new Set(columns.map((row) => row.column_name))
    const isOurs = names.size === 2 && names.has('name') && names.has('value')
    const [row] = isOurs ? await session.rows(readVersion, {}) : []
    const version = Number(row?.value)
    if (!Number.isInteger(version)) throw unknownTables(`"${String(found[0]?.table_name)}"`)
    if (version > migrations.length) throw newerTables(version)
    const present = new Set(found.map((row) => row.table_name))
    const missing = neededNames.find((name) => !present.has(`${sql.prefix}${name}`))
    if (version === migrations.length && missing !== undefined) throw missingTable(missing)
    return version
  }

  function unknownTables(table: string): ValidationError {
    return new ValidationError(
      `The database already has a table ${table} that Durably did not create under this name. Nothing was changed. ` +
        `Set the option tablePrefix (now '${sql.prefix}') to keep Durably's tables apart.`,
    )
  }

  function missingTable(name: string): ValidationError {
    return new ValidationError(
      `The table "${sql.prefix}${name}" is missing, or not to be seen by this user, though ${meta} says that it was made. ` +
        'Nothing was changed. Bring it back from a backup, or drop what else begins with ' +
        `'${sql.prefix}' to start with new tables, without the runs of these.`,
    )
  }

  function newerTables(version: number): ValidationError {
    return new ValidationError(
      `The tables were made by a newer version of Durably (tables version ${version}, known here: ${migrations.length}). ` +
        `Nothing was changed. Upgrade this process, or set the option tablePrefix (now '${sql.prefix}') to use other tables.`,
    )
  }

  return async () => {
    requireUnchanged(await database.rows(sample, {}))
    if ((await versionOf(database)) === migrations.length) return
    await database.transaction(async (session) => {
      for (const statement of lock) await session.rows(statement, {})
      const version = await versionOf(session)
      if (version === migrations.length) return
      if (version === 0) await session.change(createMeta, {})
      for (const migration of migrations.slice(version)) {
        for (const text of migration(sql)) await session.change(sql.write(text), {})
      }
      await session.change(writeVersion, { version: String(migrations.length) })
    })
  }
}

/** Values under other names, or made into other ones, would be read as missing: no run would ever be due again. */
function requireUnchanged([row]: readonly Row[]): void {
  if (Number(row?.a_number) === 1 && toBoolean(row?.a_truth)) return
  if (row === undefined) {
    throw new ValidationError(
      'The dialect answers a query with no rows: it is not made for the client that it was given. Nothing was ' +
        'changed. Use the dialect that docs/guide/databases.md names for this client.',
    )
  }
  const found = Object.entries(row).map(([name, value]) => `${name}: ${show(value)}`)
  throw new ValidationError(
    "The database's client changes what it answers: a_number: 1, a_truth: true came back as " +
      `${found.join(', ')}. Nothing was changed. Give Durably a client that leaves names, rows and values as they ` +
      'are: without transform, returnArrays, or a type parser of your own for booleans.',
  )
}
