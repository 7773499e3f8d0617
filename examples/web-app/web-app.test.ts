import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { chromium, type Browser, type Locator, type Page } from 'playwright'
import { build } from 'vite'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { launchOptions } from '../../packages/durably/test/browser/chromium.ts'

let browser: Browser
beforeAll(async () => {
  const configFile = join(import.meta.dirname, 'vite.config.ts')
  await build({ configFile, root: join(import.meta.dirname, 'web'), logLevel: 'warn' })
  browser = await chromium.launch(launchOptions())
})
afterAll(() => browser.close())

/** The app on a database of its own, and a page that has it open. */
async function open() {
  const data = mkdtempSync(join(tmpdir(), 'durably-web-app-'))
  const port = await freePort()
  const supervisor = spawn(process.execPath, [join(import.meta.dirname, 'server/supervisor.ts')], {
    env: { ...process.env, PORT: String(port), DATA: data },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const context = await browser.newContext()
  onTestFinished(async () => {
    await context.close()
    const ended = new Promise((resolve) => supervisor.once('exit', resolve))
    supervisor.kill('SIGTERM')
    await ended
    rmSync(data, { recursive: true, force: true })
  })
  await new Promise((resolve) => supervisor.stdout.once('data', resolve))
  const page = await context.newPage()
  await page.goto(`http://localhost:${port}`)
  return { page, data, current: page.getByLabel('Current import') }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => void server.listen(0, 'localhost', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function customersIn(data: string): unknown {
  const database = new Database(join(data, 'app.db'), { readonly: true })
  const found = database
    .prepare('select count(*) as n, count(distinct email) as different from customers')
    .get()
  database.close()
  return found
}

const soon = { timeout: 20_000 }

const says = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor(soon)

test('an import goes on where it was when its server is killed, while the page watches', async () => {
  const { page, data, current } = await open()
  await says(page, 'Nothing yet.')
  await page.getByRole('button', { name: '500 customers' }).click()
  await current.getByText(/^\d+ of 500 rows/).waitFor(soon)
  await page.getByRole('button', { name: 'Kill it' }).click()
  await says(page, 'Server is down')
  await says(page, 'Server is up')
  await current.getByText('500 rows imported, taken up again 1×').waitFor(soon)
  expect(customersIn(data)).toEqual({ n: 500, different: 500 })
  await page.reload()
  await page.getByLabel('History').getByText('Done', { exact: true }).waitFor(soon)
})

test('an import is cancelled, retried and deleted; a mistake in a file is shown', async () => {
  const { page, data, current } = await open()
  await page.getByRole('button', { name: '500 customers' }).click()
  await current.getByRole('button', { name: 'Cancel' }).click()
  await current.getByText('Cancelled').waitFor(soon)
  await current.getByRole('button', { name: 'Retry' }).click()
  await current.getByText('Done', { exact: true }).waitFor(soon)
  expect(customersIn(data)).toEqual({ n: 500, different: 500 })
  await page.getByRole('button', { name: 'a file with a mistake' }).click()
  await current.getByText('Line 72: Invalid email address').waitFor(soon)
  await current.getByText('Failed').waitFor(soon)
  const history = page.getByLabel('History').getByRole('listitem')
  await history.nth(1).waitFor(soon)
  await history.first().getByRole('button', { name: 'Delete' }).click()
  await history.nth(1).waitFor({ ...soon, state: 'detached' })
  expect(await history.allInnerTexts()).toEqual([expect.stringContaining('customers.csv')])
})

test('a page that is loaded again goes on to show the run', async () => {
  const { page, current } = await open()
  const file = { name: 'own.csv', mimeType: 'text/csv', buffer: Buffer.from(rows(300)) }
  await page.locator('input[type=file]').setInputFiles(file)
  await current.getByRole('heading', { name: 'own.csv' }).waitFor(soon)
  await page.reload()
  await current.getByRole('heading', { name: 'own.csv' }).waitFor(soon)
  await current.getByText('300 rows imported').waitFor(soon)
})

test('an answer streams into the page, through a failure and through the death of the server', async () => {
  const { page } = await open()
  await page.getByRole('button', { name: 'Assistant' }).click()
  await page.getByLabel('Question').fill('Why?')
  await page.getByRole('button', { name: 'Ask' }).click()
  const answer = page.locator('.answer')
  await answer.getByText('You asked: “Why?” I am a small model').waitFor(soon)
  await expect.poll(isTakenBack(answer), soon).toBe(true)
  await answer.getByText('You asked: “Why?” I am a small model').waitFor(soon)
  await page.getByRole('button', { name: 'Kill it' }).click()
  await says(page, 'Server is down')
  await page.getByLabel('Answer').getByText('Done', { exact: true }).waitFor(soon)
  expect(await answer.innerText()).toMatch(/^You asked: “Why\?” .* nobody keeps half an answer\.$/)
})

/** Whether a text became shorter since it was asked for last. */
function isTakenBack(shown: Locator): () => Promise<boolean> {
  let last = 0
  return async () => {
    const { length } = await shown.innerText()
    const isShorter = length < last
    last = length
    return isShorter
  }
}

const rows = (count: number): string =>
  ['name,email', ...Array.from({ length: count }, (_, i) => `N ${i},n${i}@example.com`)].join('\n')
