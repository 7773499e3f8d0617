import { execFile } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import BetterSqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { createDurably } from '../../src/durably.ts'
import { sqliteDialect } from '../../src/sqlite.ts'

const run = promisify(execFile)

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'packages/durably/README.md',
  'packages/durably-react/README.md',
  ...globSync('docs/{guide,reference}/*.md', { cwd: root }),
]

test('every block of TypeScript in the docs typechecks', async () => {
  // Beneath node_modules, so that its packages are found.
  mkdirSync(join(root, 'node_modules/.cache'), { recursive: true })
  const folder = mkdtempSync(join(root, 'node_modules/.cache/docs-'))
  try {
    const files = pages.flatMap((page) => writeBlocks(folder, page))
    expect(files.length).toBeGreaterThan(30)
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(createConfig(files)))
    expect(await errorsIn(folder)).toEqual([])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('every link in the docs leads to a file, and to a heading in it', () => {
  const broken = pages.flatMap((page) => {
    const targets = [...read(page).matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target)
    return targets
      .filter((target) => !target.startsWith('https:') && !leadsSomewhere(page, target))
      .map((target) => `${page}: ${target}`)
  })
  expect(broken).toEqual([])
})

test('ARCHITECTURE.md has every table with its columns', async () => {
  const database = new BetterSqlite(':memory:')
  const durably = createDurably({ dialect: sqliteDialect({ database }) })
  await durably.migrate()
  const tables = await durably.db.introspection.getTables()

  const rows = tables
    .filter(({ isView }) => !isView)
    .map(({ name, columns }) => [name, columns.map((column) => column.name).join(', ')])
  // Made when libSQL first needs it.
  rows.push(['durably_lock', 'x'])
  const described = [
    ...read('ARCHITECTURE.md').matchAll(/^\| `(durably_\w+)` \|[^|]+\| ([^|]+) \|$/gm),
  ]
  expect(described.map(([, name, columns]) => [name, columns])).toEqual(
    expect.arrayContaining(rows),
  )
  expect(described).toHaveLength(rows.length)
})

/** A module for each block. What an error says of its line is true of the page. */
function writeBlocks(folder: string, page: string): string[] {
  const text = read(page)
  return [...text.matchAll(/^```(tsx?)\n(.*?)^```$/gms)].map((match) => {
    const [, extension = '', code = ''] = match
    const line = text.slice(0, match.index).split('\n').length
    const file = `${page.replaceAll('/', '-')}-${line}.${extension}`
    writeFileSync(join(folder, file), `${'\n'.repeat(line)}${code}\nexport {}\n`)
    return file
  })
}

function createConfig(files: readonly string[]) {
  return {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions: {
      noEmit: true,
      jsx: 'react-jsx',
      allowImportingTsExtensions: true,
      noUnusedLocals: false,
      noUnusedParameters: false,
      paths: {
        '@coji/durably': [join(root, 'packages/durably/src/index.ts')],
        '@coji/durably-react': [join(root, 'packages/durably-react/src/index.ts')],
        '@coji/durably/*': [join(root, 'packages/durably/src/*.ts')],
        // The newest whose types @libsql/kysely-libsql accepts.
        '@libsql/client': [join(root, 'node_modules/libsql-client-08/lib-esm/node.d.ts')],
      },
    },
    files: [...files, fileURLToPath(new URL('fragments.ts', import.meta.url))],
  }
}

async function errorsIn(folder: string): Promise<string[]> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { stdout } = await run(process.execPath, [tsc, '-p', folder]).catch(
    (error: { stdout: string }) => error,
  )
  return stdout.split('\n').filter((line) => line !== '')
}

function leadsSomewhere(page: string, target: string): boolean {
  const [path = '', heading] = target.split('#')
  const file = path === '' ? page : join(page, '..', path)
  if (globSync(file, { cwd: root }).length === 0) return false
  return heading === undefined || anchorsOf(file).includes(heading)
}

/** As GitHub makes them of headings. */
function anchorsOf(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

function read(page: string): string {
  return readFileSync(join(root, page), 'utf8')
}
