import { constants, DatabaseSync, type SQLInputValue } from 'node:sqlite'
import BetterSqlite from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'
import { sqliteDialect, type SqliteDatabase } from '../../src/sqlite.ts'
import type { NewRun, RunQuery, Store } from '../../src/store/store.ts'
import {
  claim,
  commit,
  commitOf,
  ending,
  newRun,
  newSend,
  nothing,
  only,
  parking,
  send,
  START,
  startRun,
  stepDone,
  waitFor,
} from '../conformance/store/scenario.ts'
import { openStore } from './sqlite-file.ts'

/** There are few workers, a list of all runs begins at the newest, and ids that are to be forgotten come first. */
const WALKED = new Set(['durably_workers', 'sqlite_autoindex_durably_runs_1', 'durably_deleted_at'])

const LATER = START + 1_000_000

test('no statement walks a table', async () => {
  const database = new BetterSqlite(':memory:')
  onTestFinished(() => void database.close())
  const { work, all } = await statementsOf(database)
  expect(all.length).toBeGreaterThan(60)
  expect(all.flatMap((sql) => walksOf(database, sql))).toEqual([])
  // All runs of a status or job are many; only lists, which stop at their limit, may go through them.
  expect(work.filter((sql) => planOf(database, sql).match(/runs_(status|job)\b/))).toEqual([])
})

test('no statement is planned anew when it runs', async () => {
  const database = new DatabaseSync(':memory:')
  onTestFinished(() => database.close())
  let planned = 0
  database.setAuthorizer(() => {
    planned++
    return constants.SQLITE_OK
  })
  const plannedAnew = new Set<string>()
  const { all } = await statementsOf({
    exec: (sql) => database.exec(sql),
    prepare(sql) {
      const statement = database.prepare(sql)
      const watched =
        <T>(run: (...values: SQLInputValue[]) => T) =>
        (...values: unknown[]): T => {
          planned = 0
          const result = run.apply(statement, values as SQLInputValue[])
          if (planned > 0) plannedAnew.add(sql)
          return result
        }
      return {
        columns: () => statement.columns(),
        all: watched(statement.all),
        run: watched(statement.run),
        iterate: watched(statement.iterate),
      }
    },
  })
  expect(all.filter((sql) => plannedAnew.has(sql))).toEqual([])
})

/** The statements of everything that a store does: those of runs at work, and with the lists all. */
async function statementsOf(database: SqliteDatabase) {
  const seen = new Set<string>()
  const { store } = await openStore(sqliteDialect({ database: recording(database, seen) }))
  const claim = { workerId: 'w', leaseMs: 10, jobs: ['job', 'other'], limit: 5 }
  const runs: NewRun[] = [
    newRun('a', { concurrencyKey: 'k', idempotencyKey: 'i', labels: { x: '1' } }),
    newRun('b'),
    newRun('c', { dueAt: START + 10 }),
    newRun('d', { concurrencyKey: 'k', coalesce: true, expireAt: START + 5 }),
    newRun('e', { concurrencyKey: 'k', coalesce: true }),
  ]
  await store.look(['job'], START)
  await store.write({ ...nothing, runs, claim }, START)
  await store.write({ ...nothing, runs: [newRun('f', { ...runs[0], id: 'f' })] }, START)
  await store.write({ ...nothing, runs: [newRun('f', { isSentAgain: true })] }, START)
  const atOnce = { ...claim, workerId: 'at once', jobs: ['third'] }
  await store.write({ ...nothing, runs: [newRun('g', { jobName: 'third' })], claim: atOnce }, START)
  const others = ['h', 'i'].map((id) => newRun(id, { jobName: 'third' }))
  const { claimed } = await store.write({ ...nothing, runs: others, claim: atOnce }, START)
  expect(claimed).toHaveLength(2)
  const ends = claimed.map((one) => ending(one, 'complete'))
  await store.write({ ...nothing, commits: ends }, START)
  await store.promote(10, START + 20)
  const commit = { lease: { runId: 'a', generation: 1 }, concurrencyKey: 'k' }
  await store.write({ ...nothing, commits: [{ ...commit, entries: [stepDone(2)] }] }, START)
  await store.write(
    { ...nothing, commits: [{ ...commit, entries: [stepDone(2), stepDone(3)] }] },
    START,
  )
  const output = { format: 'json', text: '1' } as const
  const progressed = { ...commit, entries: [], progress: { current: 1 } }
  await store.write(
    { ...nothing, commits: [{ ...progressed, transition: { name: 'complete', output } }] },
    START,
  )
  await store.reclaim({ ...claim, workerId: 'x', maxCrashes: 5 }, LATER)
  await store.renew({ workerId: 'x', leaseMs: 10 }, LATER)
  await store.leases('x')
  for (const transition of ['cancel', 'retry', 'cancel'] as const) {
    await store.act({ transition, runId: 'b' }, LATER)
  }
  await store.remove('b', LATER)
  await store.journal('a', 0, 10)
  await waitAndSend(store)
  const work = [...seen]
  const queries: RunQuery[] = [
    {},
    { cursor: 'x' },
    { jobName: 'job' },
    { statuses: ['failed', 'pending'], cursor: 'x' },
    { jobName: 'job', statuses: ['failed'] },
    { labels: { x: '1', y: '2' }, jobName: 'job', statuses: ['failed'] },
  ]
  for (const query of queries) {
    await store.runs(query)
    await store.purge(query, LATER, 10, LATER)
  }
  return { work, all: [...seen] }
}

/** All that runs do with each other: they wait, are sent to, and are told of ends. */
async function waitAndSend(store: Store): Promise<void> {
  const jobName = 'mail'
  const mine = { jobs: [jobName] }
  const parent = await startRun(store, 'parent', { jobName })
  const child = await startRun(store, 'child', { jobName })
  const tokens = [{ hash: 'hash', name: 'x', expiresAt: null }]
  await commit(store, { ...commitOf(parent, [stepDone(2)]), tokens })
  await send(store, newSend('parent', 'x'))
  await commit(store, { ...commitOf(parent, [stepDone(3)]), consumes: [1] })
  await store.watch('parent', 'child', START)
  const waits = [waitFor('token', 'x'), waitFor('run', 'child')]
  await commit(store, parking(parent, { waits, inbox: 1, wakeAt: START }, 4))
  await store.promote(10, START)
  const again = only(await claim(store, mine))
  await commit(store, parking(again, { waits, inbox: 1 }))
  await send(store, newSend('', 'x', { kind: 'token', to: { tokenHash: 'hash' } }))
  await commit(store, ending(child, 'complete'))
  await store.watch('parent', 'child', START)
  await commit(store, { ...commitOf(only(await claim(store, mine)), []), consumes: [2, 3] })
  await store.watch('parent', 'child', START)
  await store.mailbox('parent')
  await store.act({ transition: 'wake', runId: 'parent', generation: 3 }, START)
}

function recording(database: SqliteDatabase, seen: Set<string>): SqliteDatabase {
  return {
    exec: (sql) => database.exec(sql),
    prepare: (sql) => {
      if (/durably_/.test(sql) && !/^(create|explain)\b/.test(sql)) seen.add(sql)
      return database.prepare(sql)
    },
  }
}

function planOf(database: BetterSqlite.Database, sql: string): string {
  const plan = database.prepare<unknown[], { detail: string }>(`explain query plan ${sql}`)
  return plan
    .all(...placesOf(sql))
    .map(({ detail }) => detail)
    .join('\n')
}

function placesOf(sql: string): null[] {
  return Array.from({ length: sql.split('?').length - 1 }, () => null)
}

interface Instruction {
  readonly opcode: string
  readonly p1: number
  readonly p2: number
}

/** Which tables and indexes the statement goes through from one end, as its program says it. */
function walksOf(database: BetterSqlite.Database, sql: string): string[] {
  const program = database.prepare<unknown[], Instruction>(`explain ${sql}`).all(...placesOf(sql))
  const roots = database
    .prepare<[], { name: string; rootpage: number }>('select name, rootpage from sqlite_schema')
    .all()
  const opened = new Map(
    program
      .filter(({ opcode }) => opcode === 'OpenRead' || opcode === 'OpenWrite')
      .map(({ p1, p2 }) => [p1, roots.find(({ rootpage }) => rootpage === p2)?.name]),
  )
  return program
    .filter(({ opcode }) => opcode === 'Rewind' || opcode === 'Last')
    .map(({ p1 }) => opened.get(p1))
    .filter((name) => name !== undefined && !WALKED.has(name))
    .map((name) => `${name}: ${sql}`)
}
