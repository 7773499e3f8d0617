import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import BetterSqlite from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { compile, nodeModules, unpackPackage } from './packed-package.ts'

// The example of the page that defines createDurably, to the letter.
const example = fileURLToPath(new URL('example.txt', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'durably-seed-'))
let unpacked: string

beforeAll(async () => {
  unpacked = await unpackPackage(folder)
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('the example as its readers run it, on the packed package', () => {
  // The types of @libsql/kysely-libsql accept no newer client.
  test('passes the strict checks of TypeScript with @libsql/client 0.8', async () => {
    const project = createProject('types', 'libsql-client-08')
    const options = ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes']
    const target = ['--target', 'es2022', '--module', 'nodenext', '--noEmit', '--types', 'node']
    await compile('--ignoreConfig', ...options, ...target, join(project, 'main.ts'))
  })

  test('declares what it exports in types that are there without those of a browser', async () => {
    const project = createProject('declarations', 'libsql-client-08')
    const manifest = readFileSync(join(unpacked, 'package.json'), 'utf8')
    const { exports } = JSON.parse(manifest) as { exports: object }
    const modules = Object.keys(exports).filter((entry) => entry !== './package.json')
    const lines = modules.map((entry) => `export {} from '@coji/durably${entry.slice(1)}'`)
    writeFileSync(join(project, 'main.ts'), lines.join('\n'))
    const target = ['--target', 'es2023', '--lib', 'es2023', '--module', 'nodenext', '--noEmit']
    await compile(
      '--ignoreConfig',
      '--strict',
      ...target,
      '--types',
      'node',
      join(project, 'main.ts'),
    )
  })

  test.each([
    ['0.8', 'libsql-client-08'],
    ['0.18', '@libsql/client'],
  ])('runs its job, and stops when asked to, with @libsql/client %s', async (version, client) => {
    const project = createProject(`run-${version}`, client)
    const app = spawn(process.execPath, ['main.ts'], { cwd: project, stdio: 'inherit' })
    const exited = once(app, 'exit')
    const file = join(project, 'local.db')

    await vi.waitFor(() => expect(readRun(file)).toMatchObject(completed), { timeout: 15_000 })
    app.kill('SIGTERM')
    expect(await exited).toEqual([0, null])
    expect(readRun(file)).toMatchObject(completed)
  })
})

const completed = { job: 'my-job', status: 'completed', payload: '{"id":"123"}' }

const dependencies = ['@libsql/kysely-libsql', 'kysely', 'zod', '@types/node']
const dependenciesOfDurably = ['devalue', 'uuidv7', '@standard-schema/spec']

/** An empty project with what its package.json would name. */
function createProject(name: string, libsqlClient: string): string {
  const project = join(folder, name)
  const install = (from: string, as: string): void => {
    const to = join(project, 'node_modules', as)
    mkdirSync(dirname(to), { recursive: true })
    symlinkSync(join(nodeModules, from), to, 'junction')
  }
  install(libsqlClient, '@libsql/client')
  for (const dependency of [...dependencies, ...dependenciesOfDurably]) {
    install(dependency, dependency)
  }
  cpSync(unpacked, join(project, 'node_modules/@coji/durably'), { recursive: true })
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }')
  cpSync(example, join(project, 'main.ts'))
  return project
}

/** The one run in the file, as another process with another SQLite sees it. */
function readRun(file: string): unknown {
  const database = new BetterSqlite(file, { readonly: true, fileMustExist: true })
  try {
    return database.prepare('select job, status, payload from durably_runs').get()
  } finally {
    database.close()
  }
}
