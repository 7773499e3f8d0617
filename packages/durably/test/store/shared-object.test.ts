import BetterSqlite from 'better-sqlite3'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Env } from '../../src/core/env.ts'
import { createEnv } from '../../src/env.ts'
import { sqliteDialect, type SqliteDatabase } from '../../src/sqlite.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import { newRun, nothing, START } from '../conformance/store/scenario.ts'
import { queryElsewhere } from './other-process.ts'
import { newFile } from './sqlite-file.ts'
import { sqliteObjects } from './sqlite-objects.ts'

/** A time that tells when someone begins to wait, and of which `speed` milliseconds pass in one. */
function createWatched(speed = 1): Env & { readonly waited: Promise<void> } {
  const env = createEnv()
  const waited = Promise.withResolvers<void>()
  return {
    ...env,
    waited: waited.promise,
    elapsed: () => env.elapsed() * speed,
    after: (ms, fn) => {
      waited.resolve()
      return env.after(ms / speed, fn)
    },
  }
}

/** Rows of which the first was taken, and the rest is not yet. */
function begunRows(database: SqliteDatabase): Iterator<unknown> {
  const rows = database.prepare('select id from orders').iterate()[Symbol.iterator]()
  rows.next()
  return rows
}

describe.each(sqliteObjects)('an object of %s that the app uses too', (_, create) => {
  async function openApp() {
    const file = newFile()
    const database = create(file)
    onTestFinished(() => void database.close())
    database.exec('create table orders (id integer primary key)')
    const dialect = sqliteDialect({ database })
    const open = async (env: Env = createEnv()) => {
      const opened = createSqlStore({ dialect, env })
      onTestFinished(() => opened.store.close())
      await opened.store.migrate()
      return opened
    }
    const runs = () => queryElsewhere(file, 'select id from durably_runs order by id')
    const orders = () => queryElsewhere(file, 'select id from orders order by id')
    return { database, app: new Kysely<unknown>({ dialect }), open, runs, orders }
  }

  test('a transaction that it rolls back takes nothing of ours with it', async () => {
    const { database, open, runs, orders } = await openApp()
    const env = createWatched()
    const { store } = await open(env)
    database.exec('begin')
    database.exec('insert into orders values (1)')
    const pausing = store.setPaused('job', true, START)
    await env.waited
    database.exec('rollback')
    await pausing
    await store.write({ ...nothing, runs: [newRun('a')] }, START)
    expect(runs()).toEqual([{ id: 'a' }])
    expect(orders()).toEqual([])
  })

  test('a transaction of its Kysely is waited for', async () => {
    const { app, open, runs, orders } = await openApp()
    const env = createWatched()
    const { store } = await open(env)
    const failing = app.transaction().execute(async (trx) => {
      await sql`insert into orders values (1)`.execute(trx)
      const writing = store.write({ ...nothing, runs: [newRun('a')] }, START)
      await env.waited
      throw Object.assign(new Error('refused'), { writing })
    })
    const { writing } = await failing.catch(
      (error: unknown) => error as { writing: Promise<unknown> },
    )
    await writing
    expect(runs()).toEqual([{ id: 'a' }])
    expect(orders()).toEqual([])
  })

  test('its Kysely may be used inside a transaction of ours, which it is then a part of', async () => {
    const { app, open, orders } = await openApp()
    const { db } = await open()
    await db.transaction().execute(async (trx) => {
      await sql`insert into orders values (1)`.execute(trx)
      await sql`insert into orders values (2)`.execute(app)
    })
    expect(orders()).toEqual([{ id: 1 }, { id: 2 }])
  })

  test('several instances take turns', async () => {
    const { open, runs } = await openApp()
    const [one, two] = await Promise.all([open(), open()])
    const ids = Array.from({ length: 20 }, (_one, i) => `run-${String(i).padStart(2, '0')}`)
    const enqueue = (id: string, i: number) =>
      (i % 2 ? one : two).store.write({ ...nothing, runs: [newRun(id)] }, START)
    await Promise.all(ids.map(enqueue))
    expect(runs()).toEqual(ids.map((id) => ({ id })))
  })

  test('a transaction that it never ends is given up on after five seconds, in words', async () => {
    const { database, app, open, runs } = await openApp()
    const { store } = await open(createWatched(50))
    database.exec('begin')
    await expect(store.setPaused('job', true, START)).rejects.toThrow(
      /object that Durably was given/,
    )
    database.exec('rollback')
    const trx = await app.startTransaction().execute()
    const stuck = store.write({ ...nothing, runs: [newRun('a')] }, START)
    await expect(stuck).rejects.toThrow(/object that Durably was given/)
    await trx.rollback().execute()
    await store.write({ ...nothing, runs: [newRun('b')] }, START)
    expect(runs()).toEqual([{ id: 'b' }])
  })

  test('a rollback that its open rows keep from happening is made up for', async () => {
    const { database, open, runs, orders } = await openApp()
    database.exec('insert into orders values (1), (2)')
    const { store, db } = await open()
    let rows: Iterator<unknown> | undefined
    const failing = db.transaction().execute(async (trx) => {
      await sql`insert into orders values (3)`.execute(trx)
      rows = begunRows(database)
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    rows?.return?.()
    expect(await sql`select id from orders`.execute(db)).toMatchObject({ rows: { length: 2 } })
    await store.setPaused('job', true, START)
    await store.write({ ...nothing, runs: [newRun('a')] }, START)
    expect(runs()).toEqual([{ id: 'a' }])
    expect(orders()).toEqual([{ id: 1 }, { id: 2 }])
  })

  test('a transaction that is begun by hand on our own Kysely is ours', async () => {
    const { database, open, orders } = await openApp()
    const { db } = await open()
    await db.connection().execute(async (connection) => {
      await sql`begin`.execute(connection)
      await sql`insert into orders values (1)`.execute(connection)
      await sql`rollback`.execute(connection)
      await sql`insert into orders values (2)`.execute(connection)
      await sql`begin`.execute(connection)
      await sql`insert into orders values (3)`.execute(connection)
      await sql`commit`.execute(connection)
      database.exec('begin; insert into orders values (4)')
    })
    database.exec('commit')
    expect(orders()).toEqual([{ id: 2 }, { id: 3 }, { id: 4 }])
  })

  test('one that is begun there without keeping the connection takes nothing of ours with it', async () => {
    const { open, orders, runs } = await openApp()
    const { db, store } = await open()
    await sql`begin`.execute(db)
    await store.write({ ...nothing, runs: [newRun('a')] }, START)
    await sql`insert into orders values (1)`.execute(db)
    await expect(sql`rollback`.execute(db)).rejects.toThrow(/no transaction is active/)
    expect(runs()).toEqual([{ id: 'a' }])
    expect(orders()).toEqual([{ id: 1 }])
  })
})

test.each([
  ['sqliteDialect', sqliteDialect],
  ['SqliteDialect', (config: { database: BetterSqlite.Database }) => new SqliteDialect(config)],
])('rows that the app takes from better-sqlite3 one by one are waited for: %s', async (_, make) => {
  const file = newFile()
  const database = new BetterSqlite(file)
  onTestFinished(() => void database.close())
  database.exec('create table orders (id); insert into orders values (1), (2)')
  const env = createWatched()
  const { store } = createSqlStore({ dialect: make({ database }), env })
  await store.migrate()
  const rows = begunRows(database)
  const pausing = store.setPaused('job', true, START)
  await Promise.race([env.waited, pausing])
  rows.return?.()
  await pausing
  expect(queryElsewhere(file, 'select name from durably_jobs')).toEqual([{ name: 'job' }])
})
