import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { Kysely, sql } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import { sqliteDialect, type SqliteDatabase } from '../../src/sqlite.ts'
import { newRun, nothing, START } from '../conformance/store/scenario.ts'
import { lockElsewhere, queryElsewhere } from './other-process.ts'
import { newFile, openStore } from './sqlite-file.ts'
import { openUntold, sqliteObjects } from './sqlite-objects.ts'

interface App {
  readonly notes: { readonly id: number; readonly text: string | null }
}

describe.each([...sqliteObjects, ['an older node:sqlite', openUntold] as const])(
  'sqliteDialect over %s',
  (_, create) => {
    function openDatabase(file = newFile()) {
      const database = create(file)
      onTestFinished(() => void database.close())
      return database
    }

    async function openKysely(database = openDatabase()) {
      const db = new Kysely<App>({ dialect: sqliteDialect({ database }) })
      await sql`create table notes (id integer primary key, text)`.execute(db)
      return db
    }

    test('serves an app', async () => {
      const db = await openKysely()
      const inserted = await db.insertInto('notes').values({ id: 7, text: 'x' }).executeTakeFirst()
      expect(inserted).toMatchObject({ insertId: 7n, numInsertedOrUpdatedRows: 1n })
      const updated = await db.updateTable('notes').set({ text: null }).executeTakeFirst()
      expect(updated.numUpdatedRows).toBe(1n)
      const insert = db.insertInto('notes').values({ id: 8, text: 'y' }).returning('id')
      expect(await insert.executeTakeFirst()).toEqual({ id: 8 })
      const rows = []
      for await (const row of db.selectFrom('notes').selectAll().stream()) rows.push(row)
      expect(rows).toEqual([
        { id: 7, text: null },
        { id: 8, text: 'y' },
      ])
    })

    test('the database itself is no options', () => {
      const wrong = () => sqliteDialect(openDatabase() as never)
      expect(wrong).toThrow(/^sqliteDialect\({ database }\): unknown option|^database must/)
    })

    test('transactions and savepoints end as they should', async () => {
      const db = await openKysely()
      const trx = await db.startTransaction().execute()
      await trx.insertInto('notes').values({ id: 1, text: 'kept' }).execute()
      const saved = await trx.savepoint('here').execute()
      await saved.insertInto('notes').values({ id: 2, text: 'dropped' }).execute()
      await saved.rollbackToSavepoint('here').execute()
      await trx.commit().execute()
      const failing = db.transaction().execute(async (doomed) => {
        await doomed.insertInto('notes').values({ id: 3, text: 'dropped' }).execute()
        throw new Error('no')
      })
      await expect(failing).rejects.toThrow('no')
      expect(await db.selectFrom('notes').select('id').execute()).toEqual([{ id: 1 }])
    })

    test('of a transaction that a full disk ended nothing is written, whatever the app caught', async () => {
      const db = await openKysely()
      const { rows } = await sql<{ page_count: number }>`pragma page_count`.execute(db)
      await sql.raw(`pragma max_page_count = ${Number(rows[0]?.page_count)}`).execute(db)
      const torn = db.transaction().execute(async (trx) => {
        await trx.insertInto('notes').values({ id: 1, text: 'dropped' }).execute()
        const tooLarge = sql`insert into notes values (2, zeroblob(100000))`.execute(trx)
        await expect(tooLarge).rejects.toThrow(/disk is full/)
        await trx.insertInto('notes').values({ id: 3, text: 'dropped' }).execute()
      })
      await expect(torn).rejects.toThrow(/nothing of it was written/)
      const alone = sql`insert into notes values (2, zeroblob(100000))`
      await expect(alone.execute(db)).rejects.toThrow(/disk is full/)
      const failing = db.transaction().execute((trx) => alone.execute(trx))
      await expect(failing).rejects.toThrow(/disk is full/)
      await db.insertInto('notes').values({ id: 4, text: 'kept' }).execute()
      expect(await db.selectFrom('notes').select('id').execute()).toEqual([{ id: 4 }])
    })

    test('the same text is prepared once, and the oldest are forgotten', async () => {
      const prepared: string[] = []
      const database = openDatabase()
      const db = new Kysely<App>({
        dialect: sqliteDialect({ database: counting(database, prepared) }),
      })
      for (let i = 0; i < 3; i++) await sql`select ${i} as x`.execute(db)
      expect(prepared).toEqual(['select ? as x'])
      for (let i = 0; i < 500; i++) {
        await sql.raw(`select ${i}`).execute(db)
        if (i % 50 === 0) await sql`select ${i} as used`.execute(db)
      }
      expect(prepared.filter((text) => text === 'select ? as used')).toHaveLength(1)
      await sql`select ${1} as x`.execute(db)
      expect(prepared.filter((text) => text === 'select ? as x')).toHaveLength(2)
    })

    test('what was acknowledged after waiting for a lock is in the file', async () => {
      const file = newFile()
      const { store } = await openStore(sqliteDialect({ database: openDatabase(file) }))
      for (const id of ['a', 'b']) {
        const lock = await lockElsewhere(file)
        const pausing = store.setPaused(id, true, START)
        await delay(20)
        await lock.release()
        await pausing
        await store.write({ ...nothing, runs: [newRun(id)] }, START)
      }
      expect(queryElsewhere(file, 'select id from durably_runs')).toEqual([
        { id: 'a' },
        { id: 'b' },
      ])
      expect(queryElsewhere(file, 'select name from durably_jobs')).toHaveLength(2)
    })
  },
)

test('a DatabaseSync that was closed and opened again serves on, but no transaction goes on in it', async () => {
  const database = new DatabaseSync(newFile())
  onTestFinished(() => database.close())
  const { db, store } = await openStore(sqliteDialect({ database }))
  await store.write({ ...nothing, runs: [newRun('a')] }, START)
  database.close()
  await expect(store.runs({})).rejects.toThrow('not open')
  database.open()
  await store.write({ ...nothing, runs: [newRun('b')] }, START)
  const write = (trx: Kysely<unknown>) =>
    sql`insert into durably_jobs values ('job', ${1})`.execute(trx)
  await db.transaction().execute(async (trx) => {
    await write(trx)
    await sql`delete from durably_jobs`.execute(trx)
  })
  const torn = db.transaction().execute(async (trx) => {
    database.close()
    database.open()
    await write(trx)
  })
  await expect(torn).rejects.toThrow('finalized')
  expect(await sql`select name from durably_jobs`.execute(db)).toMatchObject({ rows: [] })
  const found = await store.runs({})
  expect(found.map(({ id }) => id)).toEqual(['b', 'a'])
})

function counting(database: SqliteDatabase, prepared: string[]): SqliteDatabase {
  return {
    exec: (text) => database.exec(text),
    prepare: (text) => {
      prepared.push(text)
      return database.prepare(text)
    },
  }
}
