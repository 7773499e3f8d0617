import BetterSqlite from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'
import { stepCompleteData, type EntryKind, type NewEntry } from '../../src/core/journal.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { commit, commitOf, START, startRun } from '../conformance/store/scenario.ts'
import { openSchema } from './postgres-schema.ts'
import { openStore } from './sqlite-file.ts'

const SELECT = 'select name, status, output, error, waits from durably_steps order by seq'

/** A run that made a token, failed once, waited, and ended before a second wait did. */
async function leaveTraces(store: Store): Promise<void> {
  const claimed = await startRun(store, 'a')
  const text = { format: 'json', text: '"shown"' } as const
  const error = { name: 'Error', message: 'no' }
  const traces: [EntryKind, string, string][] = [
    ['step:complete', 'token', stepCompleteData(0, 1, { ...text, text: '"hidden"' }, 'token')],
    ['step:retry', 'fetch', JSON.stringify({ index: 1, duration: 1, error, until: START })],
    ['step:wait', 'nap', JSON.stringify({ index: 2, waits: [] })],
    ['step:complete', 'nap', stepCompleteData(2, 1, text, 'sleep')],
    ['step:fail', 'fetch', JSON.stringify({ index: 1, duration: 1, error })],
    ['step:cancel', 'other', JSON.stringify({ index: 3 })],
  ]
  const entries = traces.map(
    ([kind, name, data], i): NewEntry => ({ seq: i + 3, kind, name, at: START, data }),
  )
  expect(await commit(store, commitOf(claimed, entries))).toBe('committed')
}

const NONE = { output: null, error: null, waits: null }
const ERROR = '{"name":"Error","message":"no"}'
const SHOWN = [
  { ...NONE, name: 'token', status: 'completed' },
  { ...NONE, name: 'fetch', status: 'retry', error: ERROR },
  { ...NONE, name: 'nap', status: 'waiting', waits: '[]' },
  { ...NONE, name: 'nap', status: 'completed', output: '"shown"' },
  { ...NONE, name: 'fetch', status: 'failed', error: ERROR },
  { ...NONE, name: 'other', status: 'cancelled' },
]

test('SQLite shows steps and waits to people, and no token', async () => {
  const database = new BetterSqlite(':memory:')
  onTestFinished(() => void database.close())
  const { store } = await openStore(sqliteDialect({ database }))
  await leaveTraces(store)
  expect(database.prepare(SELECT).all()).toEqual(SHOWN)
})

test('PostgreSQL shows steps and waits to people, and no token', async () => {
  const schema = await openSchema()
  await leaveTraces(await schema.store())
  const rows = await schema.query(
    SELECT.replace('output, error, waits', (columns) =>
      columns
        .split(', ')
        .map((column) => `${column}::text`)
        .join(', '),
    ),
  )
  expect(rows).toEqual(SHOWN)
})

test('PostgreSQL shows what no text of it may have as what it stands for', async () => {
  const schema = await openSchema()
  const store = await schema.store()
  const claimed = await startRun(store, 'a')
  const lines = ['cut \ud83c', '\udf89 cut', 'NUL \0\0', 'whole 🎉', String.raw`\u0000 \ud83c`]
  const entries = lines.map((message, i): NewEntry => {
    const data = JSON.stringify({ level: 'info', message, data: { message } })
    return { seq: i + 3, kind: 'log:write', name: null, at: START, data }
  })
  const escaped = String.raw`{"level":"info","message":"\ud83c\udf89","data":{"message":"\u0000"}}`
  entries.push({ seq: 8, kind: 'log:write', name: null, at: START, data: escaped })
  expect(await commit(store, commitOf(claimed, entries))).toBe('committed')
  const rows = await schema.query(
    `select message, data ->> 'message' as same from durably_logs order by seq`,
  )
  const shown = ['cut \ufffd', '\ufffd cut', 'NUL \ufffd\ufffd', 'whole 🎉', lines[4]]
  expect(rows).toEqual([
    ...shown.map((message) => ({ message, same: message })),
    { message: '🎉', same: '\ufffd' },
  ])
})
