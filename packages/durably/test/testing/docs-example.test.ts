import { execFile } from 'node:child_process'
import {
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'

const run = promisify(execFile)

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const sources = pathToFileURL(join(root, 'packages/durably/src')).href
const page = readPage('testing')

// Node strips no types beneath node_modules.
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'durably-testing-')))
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The block of the guide that has this in it, as a file that plain Node runs on the sources. */
function writeBlock(file: string, text: string): string {
  return write(file, blocks(page, 'ts').find((block) => block.includes(text)) ?? '')
}

function write(file: string, code: string): string {
  const path = join(folder, file)
  const onSources = code
    .replaceAll("'@coji/durably'", `'${sources}/index.ts'`)
    .replaceAll(/'@coji\/durably\/(\w+)'/g, `'${sources}/$1.ts'`)
  writeFileSync(path, onSources)
  return path
}

function readPage(name: string): string {
  return readFileSync(join(root, `docs/guide/${name}.md`), 'utf8')
}

function blocks(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, code = '']) => code,
  )
}

async function nodeTest(...paths: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', ...paths], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  })
  return stdout
}

test('the first example of the guide passes under node:test', async () => {
  expect(await nodeTest(writeBlock('users.test.ts', "from 'node:test'"))).toContain('# pass 1')
})

test.each([
  ['retries', 1],
  ['waiting', 4],
])('the tests in the guide to %s pass', async (name, count) => {
  const tests = blocks(readPage(name), 'ts').filter((code) => code.includes("from 'node:test'"))
  const paths = tests.map((code, i) => write(`${name}-${i}.test.ts`, code))
  expect(await nodeTest(...paths)).toContain(`# pass ${count}`)
})

test('the crash test of the guide finds the double charge, and says so as the guide does', async () => {
  const path = writeBlock('checkout.ts', 'crashTest(checkout')
  const { stdout } = await run(process.execPath, [path])
  const said = page.match(/^```\n(false .*?)^```$/ms)?.[1]
  expect(stdout.replaceAll(`${folder}/`, '')).toBe(said)
})
