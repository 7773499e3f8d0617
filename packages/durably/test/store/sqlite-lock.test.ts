import { setTimeout as delay } from 'node:timers/promises'
import BetterSqlite from 'better-sqlite3'
import { sql, SqliteDialect } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Env } from '../../src/core/env.ts'
import { createEnv } from '../../src/env.ts'
import { createGate } from '../../src/store/sql/dialects/sqlite-gate.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import { claimRequest, newRun, nothing, START } from '../conformance/store/scenario.ts'
import { executeElsewhere, lockElsewhere, queryElsewhere } from './other-process.ts'
import { newFile, openStore } from './sqlite-file.ts'

async function openFile() {
  const file = newFile()
  const database = new BetterSqlite(file)
  onTestFinished(() => void database.close())
  const opened = await openStore(new SqliteDialect({ database }))
  return { file, database, ...opened }
}

describe('a lock of another process', () => {
  test('is waited for without blocking this one', async () => {
    const { file, store } = await openFile()
    const lock = await lockElsewhere(file)
    let settled = false
    const writing = store.write({ ...nothing, runs: [newRun('a')] }, START)
    void writing.then(() => (settled = true))
    const before = performance.now()
    await delay(100)
    expect(performance.now() - before).toBeLessThan(1000)
    expect(settled).toBe(false)
    await lock.release()
    expect((await writing).runs).toMatchObject([{ disposition: 'created' }])
    expect(queryElsewhere(file, 'select id from durably_runs')).toEqual([{ id: 'a' }])
  })

  test('keeps nobody from a write of one statement either', async () => {
    const { file, store } = await openFile()
    const lock = await lockElsewhere(file)
    const pausing = store.setPaused('job', true, START)
    await delay(50)
    await lock.release()
    await pausing
    expect(queryElsewhere(file, 'select name from durably_jobs')).toEqual([{ name: 'job' }])
  })

  test('does not keep anyone from reading', async () => {
    const { file, store } = await openFile()
    await store.write({ ...nothing, runs: [newRun('a')] }, START)
    const lock = await lockElsewhere(file)
    expect(await store.run('a')).not.toBeNull()
    await lock.release()
  })

  test('does not hold up a claim that finds nothing', async () => {
    const { file, store } = await openFile()
    const lock = await lockElsewhere(file)
    expect((await store.write({ ...nothing, claim: claimRequest() }, START)).claimed).toEqual([])
    await lock.release()
  })

  test('is waited for by a transaction of the app too', async () => {
    const { file, db } = await openFile()
    const lock = await lockElsewhere(file)
    const working = db.transaction().execute(async (trx) => {
      await sql`create table app (x)`.execute(trx)
    })
    await delay(50)
    await lock.release()
    await working
    expect(queryElsewhere(file, 'select * from app')).toEqual([])
  })
})

test('the version moves when another process commits, and not when this one does', async () => {
  const { file, store } = await openFile()
  const version = async () => store.version()
  const before = await version()
  await store.write({ ...nothing, runs: [newRun('a')] }, START)
  await store.setPaused('job', true, START)
  expect(await version()).toBe(before)
  executeElsewhere(file, `update durably_jobs set paused = false`)
  expect(await version()).not.toBe(before)
})

test.each([
  ['full', 2],
  ['normal', 1],
] as const)('synchronous is %s', async (synchronous, level) => {
  const database = new BetterSqlite(newFile())
  onTestFinished(() => void database.close())
  const dialect = new SqliteDialect({ database })
  await createSqlStore({ dialect, env: createEnv(), synchronous }).store.migrate()
  expect(database.pragma('synchronous', { simple: true })).toBe(level)
  expect(database.pragma('journal_mode', { simple: true })).toBe('wal')
  expect(database.pragma('busy_timeout', { simple: true })).toBe(0)
})

test('closing the store leaves the database of the app open', async () => {
  const { database, store } = await openFile()
  await store.close()
  expect(database.open).toBe(true)
})

describe('the gate', () => {
  const busy = Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' })

  /** Time that passes only when somebody waits. */
  function createClock(): Env & { time: number; readonly pauses: number[] } {
    const clock = {
      ...createEnv(),
      time: START,
      pauses: [] as number[],
      now: () => clock.time,
      elapsed: () => clock.time,
      after: (ms: number, fn: () => void) => {
        clock.pauses.push(ms)
        clock.time += ms
        queueMicrotask(fn)
        return () => {}
      },
      random: () => 0.5,
    }
    return clock
  }

  test('waits short, then shorter', async () => {
    const clock = createClock()
    const gate = createGate(clock, async () => 1)
    let tries = 0
    await gate.enter(async () => {
      if (++tries <= 10) throw busy
    })
    expect(clock.pauses).toEqual([3, 3, 3, 3, 3, 3, 3, 1, 1, 1])
  })

  test('gives up after five seconds, saying what may hold the lock', async () => {
    const clock = createClock()
    const gate = createGate(clock, async () => 1)
    const entering = gate.enter(() => Promise.reject(busy))
    await expect(entering).rejects.toThrow(/locked by another connection for 5 s/)
    await expect(entering).rejects.toMatchObject({ cause: busy })
    expect(clock.time - START).toBeLessThan(5100)
  })

  test('passes every other error on', async () => {
    const gate = createGate(createClock(), async () => 1)
    await expect(gate.enter(() => Promise.reject(new Error('disk full')))).rejects.toThrow('disk')
  })

  test.each([
    ['leaves the lock alone for a moment while others commit', true],
    ['takes it again at once while nobody else is about', false],
  ])('%s', async (_, areOthersAbout) => {
    const clock = createClock()
    let version = 1
    const gate = createGate(clock, async () => (areOthersAbout ? version++ : version))
    for (let i = 0; i < 100; i++) {
      await gate.enter(async () => {
        clock.time += 1
      })
    }
    expect(clock.pauses.length).toBeGreaterThan(areOthersAbout ? 10 : -1)
    if (!areOthersAbout) expect(clock.pauses).toEqual([])
    for (const pause of clock.pauses) expect(pause).toBe(4)
  })
})
