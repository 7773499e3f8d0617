import { DatabaseSync } from 'node:sqlite'
import BetterSqlite from 'better-sqlite3'
import { SqliteAdapter, SqliteDialect } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import postgres from 'postgres'
import { expect, onTestFinished, test } from 'vitest'
import { ValidationError } from '../../src/core/error.ts'
import { createEnv } from '../../src/env.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import type { Store } from '../../src/store/store.ts'
import { backends } from '../backends.ts'
import { createHeldPool, openSchema } from './postgres-schema.ts'
import { newFile } from './sqlite-file.ts'

function open(file: string): BetterSqlite.Database {
  const database = new BetterSqlite(file)
  onTestFinished(() => void database.close())
  return database
}

function storeOn(database: BetterSqlite.Database, tablePrefix = 'durably_'): Store {
  const dialect = new SqliteDialect({ database })
  return createSqlStore({ dialect, env: createEnv(), tablePrefix }).store
}

function schemaOf(database: BetterSqlite.Database): unknown[] {
  return database.prepare('select * from sqlite_schema order by name').all()
}

test('creating a store does no I/O', () => {
  const dialect = new SqliteDialect({
    database: () => Promise.reject(new Error('The database was opened')),
  })
  const original = dialect.createDriver.bind(dialect)
  let drivers = 0
  dialect.createDriver = () => {
    drivers++
    return original()
  }
  createSqlStore({ dialect, env: createEnv() })
  expect(drivers).toBe(0)
})

test('tables are created once, and left as they are from then on', async () => {
  const database = open(newFile())
  const store = storeOn(database)
  await store.migrate()
  const before = schemaOf(database)
  await store.migrate()
  await storeOn(database).migrate()
  expect(schemaOf(database)).toEqual(before)
})

test('tables under another prefix are other tables', async () => {
  const database = open(newFile())
  await storeOn(database).migrate()
  const other = storeOn(database, 'Other_')
  await other.migrate()
  await other.setPaused('job', true, 0)
  expect(database.prepare('select * from other_jobs').all()).toHaveLength(1)
  expect(database.prepare('select * from durably_jobs').all()).toEqual([])
})

test('a prefix that is another one only to whoever minds capitals is refused', async () => {
  const database = open(newFile())
  await storeOn(database).migrate()
  const before = schemaOf(database)
  const migrating = storeOn(database, 'Durably_').migrate()
  await expect(migrating).rejects.toThrow(ValidationError)
  await expect(migrating).rejects.toThrow(
    /already has a table "durably_\w+" .* under this name\. .*tablePrefix \(now 'Durably_'\)/,
  )
  expect(schemaOf(database)).toEqual(before)
})

test.each([
  ['a table of another product', 'create table durably_runs (id text)'],
  ['its table of versions', 'create table durably_meta (version integer)'],
  ['a view', 'create view durably_steps as select 1 as one'],
  ['an empty table of versions', 'create table durably_meta (name text, value text)'],
])('%s is not touched', async (_, sql) => {
  const database = open(newFile())
  database.exec(sql)
  const before = schemaOf(database)
  const migrating = storeOn(database).migrate()
  await expect(migrating).rejects.toThrow(ValidationError)
  await expect(migrating).rejects.toThrow(/tablePrefix \(now 'durably_'\)/)
  expect(schemaOf(database)).toEqual(before)
})

test('tables of a newer version are not touched', async () => {
  const database = open(newFile())
  await storeOn(database).migrate()
  database.exec(`update durably_meta set value = '1000' where name = 'version'`)
  const before = schemaOf(database)
  await expect(storeOn(database).migrate()).rejects.toThrow(
    /newer version of Durably .*tables version 1000.*tablePrefix/,
  )
  expect(schemaOf(database)).toEqual(before)
})

test('a table that was dropped is missed by its name', async () => {
  const database = open(newFile())
  await storeOn(database).migrate()
  database.exec('drop view durably_steps; drop view durably_logs')
  await storeOn(database).migrate()
  database.exec('drop table durably_mailbox')
  const before = schemaOf(database)
  const migrating = storeOn(database).migrate()
  await expect(migrating).rejects.toThrow(ValidationError)
  await expect(migrating).rejects.toThrow(/"durably_mailbox" is missing/)
  expect(schemaOf(database)).toEqual(before)
})

test.each(['', '1st', 'a-b', 'a"b', 'a.b', 'x'.repeat(41), 'sqlite_', 'SQLite_jobs_'])(
  'no table starts with "%s"',
  (prefix) => {
    const database = open(':memory:')
    expect(() => storeOn(database, prefix)).toThrow(ValidationError)
    expect(() => storeOn(database, prefix)).toThrow(/tablePrefix/)
  },
)

test('a database that is neither kind is refused by name of what is supported', () => {
  class OldAdapter extends SqliteAdapter {
    override get supportsReturning(): boolean {
      return false
    }
  }
  const dialect = new SqliteDialect({ database: open(':memory:') })
  dialect.createAdapter = () => new OldAdapter()
  expect(() => createSqlStore({ dialect, env: createEnv() })).toThrow(/SQLite.*PostgreSQL/)
})

test('a client that answers with other names than were asked for is refused', async () => {
  const { name, query } = await openSchema()
  const client = postgres(process.env.DURABLY_TEST_POSTGRES_URL as string, {
    connection: { search_path: name },
    transform: postgres.camel,
  })
  onTestFinished(() => client.end())
  const dialect = new PostgresJSDialect({ postgres: client })
  const migrating = createSqlStore({ dialect, env: createEnv() }).store.migrate()
  await expect(migrating).rejects.toThrow(ValidationError)
  await expect(migrating).rejects.toThrow(
    /came back as aNumber: 1, aTruth: true.*without transform/,
  )
  const tables = `select 1 from information_schema.tables where table_schema = '${name}'`
  expect(await query(tables)).toEqual([])
})

test('a client that answers with rows without names is refused', async () => {
  const database = new DatabaseSync(':memory:', { returnArrays: true })
  onTestFinished(() => database.close())
  const dialect = sqliteDialect({ database })
  const migrating = createSqlStore({ dialect, env: createEnv() }).store.migrate()
  await expect(migrating).rejects.toThrow(/came back as 0: 1, 1: 1.*returnArrays/)
})

test('a dialect that gives no rows is refused as not made for its client', async () => {
  const database = new DatabaseSync(':memory:')
  onTestFinished(() => database.close())
  // Without a `reader` of its statements Kysely takes none of them for a query.
  const dialect = new SqliteDialect({ database: database as never })
  const migrating = createSqlStore({ dialect, env: createEnv() }).store.migrate()
  await expect(migrating).rejects.toThrow(
    /no rows: it is not made for the client.*docs.guide.databases/,
  )
})

test.each(['lock_timeout', 'statement_timeout'])(
  'PostgreSQL: whoever migrates waits for another, whatever %s the app has',
  async (timeout) => {
    const schema = await openSchema()
    const held = createHeldPool(schema.pool())
    const hold = held.hold()
    const first = schema.store(held.pool)
    await hold.reached
    const impatient = schema.pool(1)
    impatient.on('connect', (client) => void client.query(`set ${timeout} = 500`))
    const second = schema.store(impatient)
    await Promise.race([schema.untilBlocked(), second])
    await Promise.race([schema.query('select pg_sleep(0.7)'), second])
    hold.commit()
    await first
    expect(await (await second).runs({})).toEqual([])
  },
)

test('PostgreSQL: tables are those that the search_path finds, in whichever of its schemas', async () => {
  const later = await openSchema()
  await later.store()
  const first = await openSchema()
  const pool = first.pool(1)
  pool.on('connect', (client) => {
    void client.query(`set search_path = ${first.name}, "$user", ${later.name}`)
  })
  const store = await first.store(pool)
  await store.setPaused('job', true, 0)
  expect(await later.query('select name from durably_jobs')).toEqual([{ name: 'job' }])
  const made = `select 1 from information_schema.tables where table_schema = '${first.name}'`
  expect(await first.query(made)).toEqual([])
})

test.each(backends)('$name: many migrate a new database at once', async (backend) => {
  const database = await backend.open()
  onTestFinished(() => database.close())
  const stores = await Promise.all(Array.from({ length: 8 }, () => database.connect()))
  for (const store of stores) expect(await store.runs({})).toEqual([])
})
