import { copyFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@libsql/client'
import { LibsqlDialect, type LibsqlDialectConfig } from '@libsql/kysely-libsql'
import BetterSqlite from 'better-sqlite3'
import { type Dialect, SqliteDialect } from 'kysely'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { createDurably } from '../../src/durably.ts'
import { defineJob } from '../../src/core/job.ts'
import { executeElsewhere, lockElsewhere, queryElsewhere } from '../store/other-process.ts'
import { newFile } from '../store/sqlite-file.ts'

/** Each step writes 4 kB, so that a disk is soon full. */
function createWriterJob() {
  const executions: string[] = []
  const job = defineJob({
    name: 'writer',
    input: z.object({ steps: z.number() }),
    run: async (step, { steps }) => {
      for (let i = 0; i < steps; i++) {
        await step.run(`step ${i}`, () => {
          executions.push(`${step.runId} ${i}`)
          return 'x'.repeat(4000)
        })
      }
      return steps
    },
  })
  return { job, executions }
}

const shortLeases = { heartbeatInterval: 100, staleThreshold: 1000, maxConcurrentRuns: 3 }

function openWorker(dialect: Dialect, more: Partial<typeof shortLeases> = {}) {
  const { job, executions } = createWriterJob()
  const durably = createDurably({ dialect, jobs: { writer: job }, pollingInterval: 100, ...more })
  onTestFinished(() => durably.close())
  const errors: string[] = []
  durably.on('worker:error', ({ error }) => void errors.push(error))
  return { durably, executions, errors }
}

function openFile(file: string, options: BetterSqlite.Options = {}) {
  const database = new BetterSqlite(file, options)
  onTestFinished(() => void database.close())
  return { database, dialect: new SqliteDialect({ database }) }
}

function libsqlDialect(file: string): Dialect {
  const client = createClient({ url: `file:${file}` })
  onTestFinished(() => client.close())
  return new LibsqlDialect({ client } as unknown as LibsqlDialectConfig)
}

const dialects: [name: string, open: (file: string) => Dialect][] = [
  ['better-sqlite3', (file) => openFile(file).dialect],
  ['libSQL', libsqlDialect],
]

test('a full disk is said, waited for, and costs no step a second execution', async () => {
  const { database, dialect } = openFile(newFile())
  const { durably, executions, errors } = openWorker(dialect)
  await durably.init()
  const pages = Number(database.pragma('page_count', { simple: true }))
  database.pragma(`max_page_count = ${pages + 20}`)
  const { id } = await durably.jobs.writer.trigger({ steps: 40 })
  await expect.poll(() => errors.length, { timeout: 10_000 }).toBeGreaterThan(3)
  expect(new Set(errors)).toEqual(new Set(['database or disk is full']))
  const soFar = executions.length
  expect(soFar).toBeLessThan(40)
  expect(errors.length).toBeLessThan(50)

  database.pragma('max_page_count = 100000')
  expect(await durably.waitForRun(id, { timeout: '10s' })).toMatchObject({ output: 40, attempt: 1 })
  expect(executions).toHaveLength(40)
  expect(new Set(executions).size).toBe(40)
}, 30_000)

test('a trigger that a full disk refuses says so, and left nothing', async () => {
  const { database, dialect } = openFile(newFile())
  const { durably } = openWorker(dialect)
  await durably.migrate()
  database.pragma('max_page_count = 1')
  const big = Array.from({ length: 200 }, () => ({ steps: 1 }))
  await expect(durably.jobs.writer.batchTrigger(big)).rejects.toThrow('database or disk is full')
  database.pragma('max_page_count = 100000')
  expect(await durably.getRuns()).toEqual([])
}, 30_000)

describe.each(dialects)('%s', (_, open) => {
  test('a file that another process locks for seconds is waited for', async () => {
    const file = newFile()
    const { durably, executions } = openWorker(open(file))
    await durably.init()
    const lock = await lockElsewhere(file)
    const triggered = durably.jobs.writer.triggerAndWait({ steps: 5 })
    await delay(2000)
    expect(executions).toEqual([])
    await lock.release()
    expect(await triggered).toMatchObject({ output: 5 })
    expect(executions).toHaveLength(5)
  })

  test('a copy of the file and its log made while it works is whole, or refused', async () => {
    const file = newFile()
    const { durably, executions } = openWorker(open(file), shortLeases)
    await durably.init()
    const items = Array.from({ length: 10 }, () => ({ steps: 20 }))
    const runs = await durably.jobs.writer.batchTrigger(items)
    const ids = runs.map(({ id }) => id)
    await expect.poll(() => executions.length).toBeGreaterThan(20)
    const copy = newFile()
    copyFileSync(file, copy)
    copyFileSync(`${file}-wal`, `${copy}-wal`)
    await Promise.all(ids.map((id) => durably.waitForRun(id)))

    const { durably: other } = openWorker(open(copy), shortLeases)
    await other.init()
    const ends = ids.map((id) => other.waitForRun(id, { timeout: '15s' }))
    expect(await Promise.all(ends)).toHaveLength(ids.length)
    expect(queryElsewhere(copy, 'pragma integrity_check')).toEqual([{ integrity_check: 'ok' }])
  }, 30_000)
})

describe('a file that may only be read', () => {
  test('answers reads, and refuses a trigger in words', async () => {
    const file = newFile()
    const { durably: writer } = openWorker(openFile(file).dialect)
    await writer.init()
    const { id } = await writer.jobs.writer.triggerAndWait({ steps: 2 })
    const { durably: reader } = openWorker(openFile(file, { readonly: true }).dialect)
    expect(await reader.getRun(id)).toMatchObject({ output: 2 })
    expect(await reader.getSteps(id)).toHaveLength(2)
    await expect(reader.jobs.writer.trigger({ steps: 1 })).rejects.toThrow(/readonly database/)
  })

  test('that has no tables is refused in words', async () => {
    const file = newFile()
    executeElsewhere(file, 'create table app (x)')
    const { durably } = openWorker(openFile(file, { readonly: true }).dialect)
    await expect(durably.init()).rejects.toThrow(/readonly database/)
  })
})
