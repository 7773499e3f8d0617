import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@libsql/client'
import { LibsqlDialect, type LibsqlDialectConfig } from '@libsql/kysely-libsql'
import { sql } from 'kysely'
import { createClient as createClient08 } from 'libsql-client-08'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Commit, Store } from '../../src/store/store.ts'
import { newRun, nothing, START, startRun, stepDone } from '../conformance/store/scenario.ts'
import { executeElsewhere, lockElsewhere, queryElsewhere } from './other-process.ts'
import { newFile, openStore } from './sqlite-file.ts'

const clients = [
  { version: '0.8', create: (file: string) => createClient08({ url: `file:${file}` }) },
  { version: '0.18', create: (file: string) => createClient({ url: `file:${file}` }) },
] as const

// The file is asked through another process: two copies of SQLite in one process would break its locks.
describe.each(clients)('@libsql/client $version', ({ version, create }) => {
  async function openClient(file = newFile()) {
    const client = create(file)
    onTestFinished(() => client.close())
    const opened = await openStore(new LibsqlDialect({ client } as LibsqlDialectConfig))
    return { file, client, ...opened }
  }

  const commitOf = (seq: number, last = seq): Commit => ({
    lease: { runId: 'a', generation: 1 },
    concurrencyKey: null,
    entries: Array.from({ length: last - seq + 1 }, (_, i) => stepDone(seq - 1 + i)),
  })

  const stepsIn = (file: string) =>
    queryElsewhere(file, `select count(*) as steps from durably_steps`)

  test('what is acknowledged is in the file, though the lock was taken meanwhile', async () => {
    const { file, store } = await openClient()
    await startRun(store, 'a')
    const lock = await lockElsewhere(file)
    const writing = store.write({ ...nothing, commits: [commitOf(3)] }, START)
    await delay(50)
    await lock.release()
    expect((await writing).commits).toEqual(['committed'])
    expect(stepsIn(file)).toEqual([{ steps: 1 }])
    await store.write({ ...nothing, commits: [commitOf(4, 9)] }, START)
    expect(stepsIn(file)).toEqual([{ steps: 7 }])
    executeElsewhere(file, `insert into durably_jobs values ('other', true)`)
  })

  test('two clients write by turns and lose nothing', async () => {
    const first = await openClient()
    const second = await openClient(first.file)
    await startRun(first.store, 'a')
    await startRun(second.store, 'b')
    const work = async (store: Store, runId: string) => {
      for (let seq = 3; seq < 103; seq++) {
        const commit = { ...commitOf(seq), lease: { runId, generation: 1 } }
        const { commits } = await store.write({ ...nothing, commits: [commit] }, START)
        expect(commits).toEqual(['committed'])
      }
    }
    await Promise.all([work(first.store, 'a'), work(second.store, 'b')])
    expect(stepsIn(first.file)).toEqual([{ steps: 200 }])
  })

  test('reads see what others committed since, and nothing holds them back', async () => {
    const { file, store } = await openClient()
    const before = await store.version()
    await store.setPaused('mine', true, START)
    expect(await store.version()).toBe(before)
    executeElsewhere(file, `insert into durably_jobs values ('other', true)`)
    expect(await store.version()).not.toBe(before)
  })

  test('a transaction of the app is all or nothing', async () => {
    const { file, db, store } = await openClient()
    await sql`create table app (x)`.execute(db)
    const failing = db.transaction().execute(async (trx) => {
      await sql`insert into app values (1)`.execute(trx)
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    await db.transaction().execute((trx) => sql`insert into app values (2)`.execute(trx))
    expect(queryElsewhere(file, 'select x from app')).toEqual([{ x: 2 }])
    expect(await store.runs({})).toEqual([])
  })

  test('of a transaction that a full disk ended nothing is written, whatever the app caught', async () => {
    const { file, db, store } = await openClient()
    await sql`create table app (x, y)`.execute(db)
    const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db)
    const most = (pages: number) => sql.raw(`pragma max_page_count = ${pages}`).execute(db)
    await most(Number(rows[0]?.page_count))
    const torn = db.transaction().execute(async (trx) => {
      await sql`insert into app values (1, '')`.execute(trx)
      const tooLarge = sql`insert into app values (2, zeroblob(100000))`.execute(trx)
      await expect(tooLarge).rejects.toThrow(/disk is full/)
      await sql`insert into app values (3, '')`.execute(trx)
    })
    await expect(torn).rejects.toThrow(/nothing of it was written/)
    expect(queryElsewhere(file, 'select x from app')).toEqual([])
    await store.write({ ...nothing, runs: [newRun('a')] }, START)
    expect(queryElsewhere(file, 'select id from durably_runs')).toEqual([{ id: 'a' }])
  })

  test('a statement that fails leaves nothing behind', async () => {
    const { file, db, store } = await openClient()
    await expect(sql`insert into nowhere values (1)`.execute(db)).rejects.toThrow(/no such table/)
    await store.write({ ...nothing, runs: [newRun('a')] }, START)
    expect(queryElsewhere(file, 'select id from durably_runs')).toEqual([{ id: 'a' }])
  })

  test('tables of another product are not touched', async () => {
    const file = newFile()
    executeElsewhere(file, 'create table durably_runs (id text)')
    await expect(openClient(file)).rejects.toThrow(/tablePrefix/)
    const tables = queryElsewhere(file, 'select name from sqlite_schema')
    expect(tables).toEqual([{ name: 'durably_runs' }])
  })

  test('a database in memory works too', async () => {
    const client =
      version === '0.8' ? createClient08({ url: ':memory:' }) : createClient({ url: ':memory:' })
    onTestFinished(() => client.close())
    const { store } = await openStore(new LibsqlDialect({ client } as LibsqlDialectConfig))
    await startRun(store, 'a')
    expect(await store.run('a')).toMatchObject({ status: 'running' })
  })

  test('closing the store leaves the client of the app open', async () => {
    const { client, store } = await openClient()
    await store.close()
    expect(client.closed).toBe(false)
    await client.execute('select 1')
  })
})

test('a connection that the app closed is opened again, but no transaction goes on in it', async () => {
  const file = newFile()
  const client = createClient({ url: `file:${file}` })
  onTestFinished(() => client.close())
  const config = { client } as unknown as LibsqlDialectConfig
  const { store, db } = await openStore(new LibsqlDialect(config))
  client.reconnect()
  await store.write({ ...nothing, runs: [newRun('a')] }, START)
  const torn = db.transaction().execute(async (trx) => {
    await sql`delete from durably_runs`.execute(trx)
    client.reconnect()
    await sql`insert into durably_jobs values ('job', true)`.execute(trx)
  })
  await expect(torn).rejects.toThrow(/nothing of it was written/)
  await store.write({ ...nothing, runs: [newRun('b')] }, START)
  expect(queryElsewhere(file, 'select id from durably_runs')).toEqual([{ id: 'a' }, { id: 'b' }])
  expect(queryElsewhere(file, 'select name from durably_jobs')).toEqual([])
})

test('a client that the dialect makes is made late, once, and closed with the store', async () => {
  const file = newFile()
  const dialect = new LibsqlDialect({ url: `file:${file}` })
  const create = dialect.createDriver.bind(dialect)
  const made: ReturnType<typeof create>[] = []
  dialect.createDriver = () => {
    const driver = create()
    made.push(driver)
    return driver
  }
  const { store } = await openStore(dialect)
  expect(made).toHaveLength(1)
  await store.close()
  expect(made[0]).toMatchObject({ client: { closed: true } })
})
