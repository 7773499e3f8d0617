import BetterSqlite from 'better-sqlite3'
import { type Dialect, SqliteDialect } from 'kysely'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ValidationError } from '../../src/core/error.ts'
import { defineJob, type JobDefinition } from '../../src/core/job.ts'
import { createDurably, type DurablyOptions } from '../../src/durably.ts'
import { sqliteDialect } from '../../src/sqlite.ts'

/** A database that may not be touched. */
const dialect = new SqliteDialect({
  database: () => Promise.reject(new Error('createDurably did I/O')),
})

const noop = defineJob({ name: 'noop', input: z.null(), run: () => {} })
const other = defineJob({ name: 'noop', input: z.null(), run: () => {} })

const codec = { encode: JSON.stringify, decode: JSON.parse }

const bad: [option: string, options: object, message: RegExp][] = [
  ['dialect', { dialect: undefined }, /^dialect must be a Kysely dialect/],
  ['dialect', { dialect: {} }, /^dialect must be a Kysely dialect/],
  ['dialect', { dialect: 'app.db' }, /, such as sqliteDialect\({ database }\); got 'app.db'$/],
  ['pollingInterval', { pollingInterval: 0 }, /^pollingInterval must be at least 1 ms; got 0$/],
  ['pollingInterval', { pollingInterval: '1 s' }, /^pollingInterval must be a duration.*'1 s'$/],
  ['pollingInterval', { pollingInterval: Number.NaN }, /^pollingInterval must be a duration.*NaN$/],
  ['heartbeatInterval', { heartbeatInterval: -1 }, /^heartbeatInterval must be a duration.*-1$/],
  [
    'heartbeatInterval',
    { heartbeatInterval: '30s' },
    /^heartbeatInterval \(30000 ms\) must be less/,
  ],
  ['staleThreshold', { staleThreshold: 100 }, /must be less than staleThreshold \(100 ms\)/],
  ['staleThreshold', { staleThreshold: null }, /^staleThreshold must be a duration.*got null$/],
  [
    'maxConcurrentRuns',
    { maxConcurrentRuns: 0 },
    /^maxConcurrentRuns must be .* 1 to 1000; got 0$/,
  ],
  ['maxConcurrentRuns', { maxConcurrentRuns: 1001 }, /^maxConcurrentRuns must be .*; got 1001$/],
  ['maxConcurrentRuns', { maxConcurrentRuns: 1.5 }, /^maxConcurrentRuns must be a whole number/],
  ['maxCrashes', { maxCrashes: '5' }, /^maxCrashes must be a whole number/],
  ['retainRuns', { retainRuns: 'forever' }, /^retainRuns must be a duration.*'forever'$/],
  [
    'codec',
    { codec: { encode: JSON.stringify } },
    /^codec must have the functions encode and decode; got an object$/,
  ],
  ['labels', { labels: { tenant: 'string' } }, /^labels must be a schema/],
  ['jobs', { jobs: { noop: { name: 'noop' } } }, /"noop" is not a job; make it with defineJob$/],
  ['jobs', { jobs: { noop, other } }, /^Job "noop" is already registered with a different/],
  [
    'wakeups',
    { wakeups: {} },
    /^wakeups must have the functions listen and notify; got an object$/,
  ],
  ['synchronous', { synchronous: 'off' }, /^synchronous must be 'full' or 'normal'; got 'off'$/],
  ['tablePrefix', { tablePrefix: 'a b' }, /^tablePrefix must be .*; got 'a b'$/],
  ['tablePrefix', { tablePrefix: '' }, /^tablePrefix must be .*; got ''$/],
]

test.each(bad)('a bad %s is refused by name: %j', (_, options, message) => {
  const create = (): unknown => createDurably({ dialect, ...options } as DurablyOptions)
  expect(create).toThrow(message)
  expect(create).toThrow(ValidationError)
})

const good: object[] = [
  { pollingInterval: '500ms', heartbeatInterval: '10s', staleThreshold: '5m', retainRuns: '30d' },
  { pollingInterval: 1, heartbeatInterval: 1, staleThreshold: 2, maxConcurrentRuns: 1000 },
  { pollingInterval: undefined, maxConcurrentRuns: undefined, codec: undefined, labels: undefined },
  { jobs: {}, codec, synchronous: 'normal', tablePrefix: 'my_app_', maxCrashes: 1 },
]

test.each(good)('these options are fine, and nothing is opened: %j', (options) => {
  expect(() => createDurably({ dialect, ...options } as DurablyOptions)).not.toThrow()
})

test('the dialect may be of any class', () => {
  const anonymous: Dialect = {
    createAdapter: () => dialect.createAdapter(),
    createDriver: () => dialect.createDriver(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
  }
  expect(() => createDurably({ dialect: anonymous })).not.toThrow()
})

const definition = { name: 'a', input: z.null(), run: () => {} }
const badJobs: [what: string, definition: object, message: RegExp][] = [
  ['name', { ...definition, name: '' }, /^job name must not be empty$/],
  ['name', { ...definition, name: 'a\0b' }, /^job name must not contain NUL/],
  ['name', { ...definition, name: 5 }, /^job name must be a string; got 5$/],
  ['input', { ...definition, input: undefined }, /^input of job "a" must be a schema/],
  ['output', { ...definition, output: {} }, /^output of job "a" must be a schema/],
  ['run', { ...definition, run: 'x' }, /^run of job "a" must be a function; got string$/],
]

test.each(badJobs)('defineJob refuses a bad %s', (_, job, message) => {
  const define = defineJob as (definition: object) => JobDefinition
  expect(() => define(job)).toThrow(message)
  expect(() => define(job)).toThrow(ValidationError)
})

test('wakeups that are undefined are those of the dialect', async () => {
  let listened = 0
  const listen = () => {
    listened++
    return Promise.resolve(() => Promise.resolve())
  }
  const database = new BetterSqlite(':memory:')
  const wakeups = { listen, notify: () => Promise.resolve() }
  const durably = createDurably({
    dialect: Object.assign(sqliteDialect({ database }), { wakeups }),
    wakeups: undefined,
  })
  await durably.init()
  await durably.close()
  database.close()
  expect(listened).toBe(1)
})
