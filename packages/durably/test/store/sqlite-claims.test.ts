import BetterSqlite from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'
import { sqliteDialect, type SqliteDatabase } from '../../src/sqlite.ts'
import {
  claim,
  claimRequest,
  enqueue,
  idsOf,
  newRun,
  nothing,
  reclaim,
  START,
} from '../conformance/store/scenario.ts'
import { newFile, openStore } from './sqlite-file.ts'

/** A store, and the SQL that another process executes after the store's next look and before it has the lock. */
async function openWithOther() {
  const file = newFile()
  const [database, other] = [new BetterSqlite(file), new BetterSqlite(file)]
  onTestFinished(() => void [database, other].map((one) => one.close()))
  const between: string[] = []
  const { store } = await openStore(
    sqliteDialect({
      database: beforeLock(database, () => {
        for (const sql of between.splice(0)) other.exec(sql)
      }),
    }),
  )
  return { store, between }
}

function beforeLock(database: BetterSqlite.Database, act: () => void): SqliteDatabase {
  return {
    exec: (sql) => database.exec(sql),
    prepare(sql) {
      const statement = database.prepare<unknown[]>(sql)
      if (sql !== 'begin immediate') return statement
      return {
        reader: false,
        all: () => [],
        iterate: () => [],
        run(...values) {
          act()
          return statement.run(...values)
        },
      }
    },
  }
}

test('a run is claimed by the two statements that make it', async () => {
  const said: string[] = []
  const database = new BetterSqlite(':memory:', { verbose: (sql) => said.push(String(sql)) })
  onTestFinished(() => void database.close())
  const { store } = await openStore(sqliteDialect({ database }))
  // Its worker has a fresh lease then.
  await enqueue(store, [newRun('before')])
  await claim(store)
  said.length = 0
  const batch = { ...nothing, runs: [newRun('a')], claim: claimRequest() }
  expect(idsOf((await store.write(batch, START)).claimed)).toEqual(['a'])
  // On a slow machine the lock's turn may be over, and it looks first whether others want it.
  const toldOf = /begin|commit|insert into "\w+"|^update "\w+"/
  expect(said.flatMap((sql) => toldOf.exec(sql)?.[0] ?? [])).toEqual([
    'begin',
    'insert into "durably_runs"',
    'insert into "durably_journal"',
    'commit',
  ])
})

const isA = `where id = 'a'`

test.each([
  ['is claimed', `update durably_runs set status = 'running', ready = false ${isA}`],
  ['is cancelled', `update durably_runs set status = 'cancelled', ready = false ${isA}`],
  ['is blocked', `update durably_runs set ready = false ${isA}`],
  ['expires', `update durably_runs set expire_at = ${START} ${isA}`],
  ['has its job paused', `insert into durably_jobs (name, paused) values ('paused', true)`],
])('a run that %s while the lock is taken is not claimed, and the next is', async (_, sql) => {
  const { store, between } = await openWithOther()
  await enqueue(store, [newRun('a', { jobName: 'paused', priority: 1 }), newRun('b'), newRun('c')])
  between.push(sql)
  expect(idsOf(await claim(store, { jobs: ['job', 'paused'], limit: 2 }))).toEqual(['b', 'c'])
})

test('a worker that is forgotten meanwhile has a lease on what it claims', async () => {
  const { store, between } = await openWithOther()
  await store.renew({ workerId: 'worker', leaseMs: 60_000 }, START)
  await enqueue(store, [newRun('a')])
  between.push('delete from durably_workers')
  expect(idsOf(await claim(store))).toEqual(['a'])
  expect((await reclaim(store, {}, START)).claimed).toEqual([])
  expect(idsOf((await reclaim(store, {}, START + 120_000)).claimed)).toEqual(['a'])
})
