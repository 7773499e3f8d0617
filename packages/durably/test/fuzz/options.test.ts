import fc from 'fast-check'
import { SqliteDialect } from 'kysely'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { DurablyError } from '../../src/core/error.ts'
import { defineJob } from '../../src/core/job.ts'
import { createDurably } from '../../src/durably.ts'
import { postgresDialect } from '../../src/postgres.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { sqlocalDialect, workInOneTab } from '../../src/browser.ts'
import { crashTest, createTestDurably } from '../../src/testing.ts'
import { attempt, hostile } from './hostile.ts'

/** A database that may not be touched. */
const dialect = new SqliteDialect({
  database: () => Promise.reject(new Error('createDurably did I/O')),
})

const optionNames = [
  'dialect',
  'pollingInterval',
  'heartbeatInterval',
  'staleThreshold',
  'maxConcurrentRuns',
  'jobs',
  'labels',
  'retainRuns',
  'maxCrashes',
  'wakeups',
  'codec',
  'synchronous',
  'tablePrefix',
]

test.each(optionNames)('createDurably takes %s, or refuses it by name', async (name) => {
  await fc.assert(
    fc.asyncProperty(hostile(), async (value) => {
      const answer = await attempt(() => createDurably({ dialect, [name]: value }))
      if (answer instanceof DurablyError)
        expect(answer.message).toMatch(new RegExp(`${name}|^register`, 'i'))
    }),
    { numRuns: 300 },
  )
})

const definition = { name: 'job', input: z.unknown(), output: z.unknown(), run: () => null }

test('an option that there is not is refused, with those that there are', () => {
  expect(() => createDurably({ dialect, maxConcurrentRun: 5 } as never)).toThrow(
    /^unknown option "maxConcurrentRun"; the options are dialect, .*maxConcurrentRuns/,
  )
  expect(() => defineJob({ ...definition, concurrency: { limit: 1 } } as never)).toThrow(
    /^job "job": unknown option "concurrency"; the options are name, /,
  )
})

const job = defineJob(definition)

test.each<[string, () => unknown]>([
  ['sqliteDialect', () => sqliteDialect({ databse: {} } as never)],
  ['postgresDialect', () => postgresDialect({ pol: {} } as never)],
  ['sqlocalDialect', () => sqlocalDialect({ databse: {} } as never)],
  ['workInOneTab', () => workInOneTab({} as never, { nam: 'app' } as never)],
  ['createTestDurably', () => createTestDurably({ jobs: {}, maxConcurrentRun: 5 } as never)],
  ['crashTest', () => crashTest(job, null, { effect: {} } as never)],
])('nor has %s any others than it says', async (_, call) => {
  await expect((async () => call())()).rejects.toThrow(
    /^(\w+\({ \w+ }\): )?unknown option ".+"; the options are /,
  )
})

test('tabs that share the work say what of', async () => {
  const call = workInOneTab({} as never, {} as never)
  await expect(call).rejects.toThrow(/^name of the tabs that share the work must be a string/)
})

test.each(Object.keys(definition))('defineJob takes %s, or refuses it by name', async (name) => {
  await fc.assert(
    fc.asyncProperty(hostile(), async (value) => {
      const answer = await attempt(() => defineJob({ ...definition, [name]: value }))
      if (answer instanceof DurablyError)
        expect(answer.message).toMatch(new RegExp(`^(${name}|job)`))
    }),
    { numRuns: 300 },
  )
})

test.each([
  ['createDurably', (value: unknown) => createDurably(value as never)],
  ['defineJob', (value: unknown) => defineJob(value as never)],
])('%s refuses whatever has no options', async (_, call) => {
  await fc.assert(
    fc.asyncProperty(hostile(), async (value) => {
      expect(await attempt(() => call(value))).toBeInstanceOf(Error)
    }),
    { numRuns: 300 },
  )
})

test.each([
  [
    'sqliteDialect',
    () => sqliteDialect({ database: 'app.db' as never }),
    /^database must have the function prepare; got 'app.db'$/,
  ],
  ['sqliteDialect', () => sqliteDialect(undefined as never), /options must be an object/],
  [
    'postgresDialect',
    () => postgresDialect({ pool: 'postgres://localhost' as never }),
    /^pool must/,
  ],
  [
    'postgresDialect',
    () => postgresDialect({} as never),
    /^pool must have the functions connect, query, and on; got undefined$/,
  ],
])('%s refuses what is no database at once', (_, make, message) => {
  expect(make).toThrow(message)
  expect(make).toThrow(DurablyError)
})
