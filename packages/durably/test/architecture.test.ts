import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { describe, expect, test } from 'vitest'
import { offences, type Source } from './architecture.ts'

/** Offences that are wanted, each word for word, with a comment that says why. */
const EXCEPTIONS: readonly string[] = []

test('the sources keep to the rooms and the style of the design', () => {
  expect(offences(readSources())).toEqual(EXCEPTIONS)
})

function readSources(): Source[] {
  const folder = join(import.meta.dirname, '../src')
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => ({
      path: file.split(sep).join('/'),
      text: readFileSync(join(folder, file), 'utf8'),
    }))
}

describe('rooms', () => {
  test.each([
    ['core/run.ts', './journal.ts'],
    ['core/codec.ts', 'devalue'],
    ['events/bus.ts', '../core/event.ts'],
    ['store/memory.ts', '../core/run.ts'],
    ['store/sql/claim.ts', 'kysely'],
    ['store/sql/migrate.ts', 'kysely/migration'],
    ['engine/worker.ts', '../store/store.ts'],
    ['engine/local-client.ts', '../events/bus.ts'],
    ['client/http-client.ts', '../events/subscription.ts'],
    ['http/routes.ts', '../client/client.ts'],
    ['testing/simulation.ts', '../engine/worker.ts'],
    ['env.ts', 'uuidv7'],
    ['env.ts', './core/env.ts'],
    ['durably.ts', './env.ts'],
    ['durably.ts', './http/routes.ts'],
  ])('%s may import %s', (path, specifier) => {
    expect(offences([{ path, text: `import { x } from '${specifier}'` }])).toEqual([])
  })

  test.each([
    ['core/run.ts', '../store/store.ts'],
    ['core/run.ts', '../env.ts'],
    ['core/run.ts', 'kysely'],
    ['core/run.ts', 'uuidv7'],
    ['events/bus.ts', '../engine/worker.ts'],
    ['store/memory.ts', '../engine/worker.ts'],
    ['engine/worker.ts', '../store/memory.ts'],
    ['engine/worker.ts', '../events/bus.ts'],
    ['engine/worker.ts', '../durably.ts'],
    ['engine/worker.ts', 'kysely'],
    ['engine/local-client.ts', '../http/routes.ts'],
    ['client/http-client.ts', '../engine/worker.ts'],
    ['http/routes.ts', '../client/http-client.ts'],
    ['http/routes.ts', '../events/bus.ts'],
    ['testing/simulation.ts', '../http/routes.ts'],
    ['env.ts', './store/store.ts'],
  ])('%s may not import %s', (path, specifier) => {
    const refusal = [`${path}:1: may not import ${specifier}`]
    const forms = ['import type { X } from', 'export * from', 'export { x } from', 'import']
    for (const form of forms) {
      expect(offences([{ path, text: `${form} '${specifier}'` }])).toEqual(refusal)
    }
    const later = `export const x = () => import('${specifier}')`
    expect(offences([{ path, text: later }])).toEqual(refusal)
    const type = `export type X = import('${specifier}').X`
    expect(offences([{ path, text: type }])).toEqual(refusal)
  })

  test('unknown rooms and entries are refused', () => {
    expect(offences([{ path: 'attic/box.ts', text: '' }])).toEqual([
      'attic/box.ts: is in no known room',
    ])
    expect(offences([{ path: 'extra.ts', text: '' }])).toEqual(['extra.ts: is not a known entry'])
  })

  test('the root entry has no logic', () => {
    const text = "export { x } from './durably.ts'\nexport const y = 1\n"
    expect(offences([{ path: 'index.ts', text }])).toEqual([
      'index.ts:2: holds named exports from other files only',
    ])
  })

  test('no file leads back to itself, not by a type either', () => {
    const sources = [
      { path: 'core/run.ts', text: "import { x } from './event.ts'" },
      { path: 'core/event.ts', text: "import { x } from './error.ts'" },
      { path: 'core/error.ts', text: "import type { X } from './event.ts'\nimport './show.ts'" },
      { path: 'core/show.ts', text: '' },
    ]
    expect(offences(sources)).toEqual([
      'core/event.ts: imports go round in a circle',
      'core/error.ts: imports go round in a circle',
    ])
  })

  test('nothing of Node is reachable from the root entry', () => {
    const sources = [
      { path: 'index.ts', text: "export { x } from './durably.ts'" },
      { path: 'durably.ts', text: "export const x = () => import('./store/sql/dialects/a.ts')" },
      { path: 'store/sql/dialects/a.ts', text: "import fs from 'node:fs'\nexport { fs }" },
      { path: 'node.ts', text: "import http from 'node:http'\nexport { http }" },
    ]
    expect(offences(sources)).toEqual([
      'store/sql/dialects/a.ts:1: node:fs is reachable from index.ts',
    ])
  })
})

describe('style', () => {
  function offencesIn(text: string, path = 'core/run.ts'): string[] {
    return offences([{ path, text }])
  }

  test.each(['core/runState.ts', 'core/Run.ts', 'store/Sql/claim.ts', 'core/run_state.ts'])(
    '%s is not kebab-case',
    (path) => {
      expect(offencesIn('', path)).toHaveLength(1)
    },
  )

  test.each(['core/utils.ts', 'core/helpers.ts', 'core/types.ts', 'engine/run-manager.ts'])(
    '%s says nothing',
    (path) => {
      expect(offencesIn('', path)).toHaveLength(1)
    },
  )

  test('files end at 400 lines', () => {
    expect(offencesIn('//\n'.repeat(400))).toEqual([])
    expect(offencesIn('//\n'.repeat(401))).toEqual(['core/run.ts: has 401 lines'])
  })

  test.each([
    ['function f() {', '}'],
    ['const f = () => {', '}'],
    ['const f = { m() {', '} }'],
    ['class F { m() {', '} }'],
  ])('%s ends after 70 lines', (open, close) => {
    expect(offencesIn(`${open}\n${'//\n'.repeat(68)}${close}`)).toEqual([])
    expect(offencesIn(`${open}\n${'//\n'.repeat(69)}${close}`)).toEqual([
      'core/run.ts:1: a function of 71 lines',
    ])
  })

  test.each([
    ['Date.now()', 'Date.now'],
    ['const now = Date.now', 'Date.now'],
    ['new Date()', 'new Date()'],
    ['Date()', 'Date()'],
    ['setTimeout(f, 1)', 'setTimeout'],
    ['globalThis.setTimeout(f, 1)', 'setTimeout'],
    ['setInterval(f, 1)', 'setInterval'],
    ['const turn = setImmediate', 'setImmediate'],
    ['const all = { setImmediate }', 'setImmediate'],
    ['performance.now()', 'performance'],
    ['Math.random()', 'Math.random'],
    ['Math["random"]()', 'Math.random'],
    ['crypto.randomUUID()', 'crypto'],
    ['globalThis.crypto.randomUUID()', 'crypto'],
    ['AbortSignal.timeout(1)', 'AbortSignal.timeout'],
  ])('%s belongs to env.ts', (text, what) => {
    expect(offencesIn(text)).toContain(`core/run.ts:1: ${what} outside env.ts`)
    expect(offencesIn(text, 'env.ts')).toEqual([])
  })

  test.each([
    'env.now()',
    'new Date(at)',
    'queueMicrotask(f)',
    'timers.setTimeout(f, 1)',
    'const timers = { setTimeout: f }',
    'interface Timers { setTimeout(f: () => void): void }',
    '// Date.now() would be wrong here',
    "const text = 'Date.now()'",
  ])('%s is fine', (text) => {
    expect(offencesIn(text)).toEqual([])
  })

  test.each(['const sqlite = 1', "f('PostgreSQL')", 'f(`libsql`)', 'type PGlite = 1'])(
    '%s names a dialect',
    (text) => {
      expect(offencesIn(text)).toEqual([expect.stringContaining('names the dialect')])
      expect(offencesIn(text, 'store/sql/dialects/a.ts')).toEqual([])
      expect(offencesIn(text, 'sqlite.ts')).toEqual([])
    },
  )

  test('comments may name a dialect', () => {
    expect(offencesIn('/* SQLite\n and */ const x = 1 // PostgreSQL')).toEqual([])
  })

  test.each([
    "f('select 1 from durably_runs')",
    "f('INSERT INTO durably_runs VALUES (1)')",
    'f(`update durably_runs\n set status = ${x}`)',
    "f('delete from durably_runs where id = 1')",
    'f(sql`vacuum`)',
  ])('%s is SQL', (text) => {
    expect(offencesIn(text)).toEqual([expect.stringContaining('SQL outside store/sql/')])
    expect(offencesIn(text, 'store/sql/claim.ts')).toEqual([])
  })

  test.each(["f('update the run')", "f('a value from the user')", '// select x from y'])(
    '%s is not SQL',
    (text) => {
      expect(offencesIn(text)).toEqual([])
    },
  )
})
