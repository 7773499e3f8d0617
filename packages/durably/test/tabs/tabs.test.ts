import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium, type Browser, type BrowserContext, type Page as Tab } from 'playwright'
import { build, preview, type PreviewServer } from 'vite'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { launchOptions } from '../browser/chromium.ts'
import type { Page } from './page.ts'

declare const page: Page

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const place = '/packages/durably/test/tabs/page.html'
const isolating = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
}

let browser: Browser
let isolated: PreviewServer
let plain: PreviewServer
const built = mkdtempSync(join(tmpdir(), 'durably-tabs-'))

beforeAll(async () => {
  // Bundled once: a page that loads some hundred modules takes seconds each time.
  await build({
    root,
    configFile: false,
    logLevel: 'error',
    build: {
      outDir: built,
      target: 'esnext',
      minify: false,
      rolldownOptions: { input: join(root, place) },
    },
    worker: { format: 'es' },
  })
  isolated = await serve(isolating)
  plain = await serve({})
  browser = await chromium.launch(launchOptions())
}, 120_000)

afterAll(async () => {
  await browser?.close()
  await isolated?.close()
  await plain?.close()
  rmSync(built, { recursive: true, force: true })
})

function serve(headers: Record<string, string>): Promise<PreviewServer> {
  const build = { outDir: built }
  return preview({ root, configFile: false, build, preview: { port: 0, headers } })
}

/** Tabs of one browser profile, with storage of its own. */
async function openBrowser() {
  const context = await browser.newContext()
  onTestFinished(() => context.close())
  return context
}

async function openTab(context: BrowserContext, query: string, server = isolated): Promise<Tab> {
  const tab = await context.newPage()
  await visit(tab, query, server)
  return tab
}

async function visit(tab: Tab, query: string, server = isolated): Promise<void> {
  const [address] = server.resolvedUrls?.local ?? []
  await tab.goto(new URL(`${place}?${query}`, address).href)
  await tab.waitForFunction(() => 'page' in globalThis)
}

const open = (tab: Tab) => tab.evaluate(async () => void (await page.open()))
const isWorking = (tab: Tab) => tab.evaluate(() => page.tab.isWorking())
const trigger = (tab: Tab) => tab.evaluate(async () => (await page.relay.trigger({})).id)

/** The outputs of the two steps: who executed them. */
const outcome = (tab: Tab, id: string) =>
  tab.evaluate(async (runId) => (await page.durably.waitForRun(runId)).output, id)

/** Resolves when the first step has ended, by whichever tab. */
const firstStep = (tab: Tab, id: string) =>
  tab.evaluate(async (runId) => {
    const reader = page.durably.subscribe(runId).getReader()
    for (;;) {
      const { value } = await reader.read()
      if (value?.type === 'step:complete') return reader.cancel()
    }
  }, id)

test('one tab works, and what another one triggers wakes it at once', async () => {
  const context = await openBrowser()
  const a = await openTab(context, 'tab=a&waits')
  const b = await openTab(context, 'tab=b&waits')
  await open(a)
  await open(b)
  expect([await isWorking(a), await isWorking(b)]).toEqual([true, false])
  // With an hour between polls, b also hears of the end by being woken.
  expect(await outcome(b, await trigger(b))).toEqual(['a', 'a'])
})

test.each([
  ['is closed', (tab: Tab) => tab.close()],
  ['crashes', (tab: Tab) => tab.goto('chrome://crash').catch(() => {})],
])('when the working tab %s, the next one goes on with its runs', async (_what, end) => {
  const context = await openBrowser()
  const a = await openTab(context, 'tab=a&hangs')
  const b = await openTab(context, 'tab=b')
  await open(a)
  await open(b)
  const id = await trigger(b)
  await firstStep(b, id)
  await end(a)
  expect(await outcome(b, id)).toEqual(['a', 'b'])
  expect(await isWorking(b)).toBe(true)
})

test('a run goes on when its page is loaded again', async () => {
  const context = await openBrowser()
  const tab = await openTab(context, 'tab=before&hangs')
  await open(tab)
  const id = await trigger(tab)
  await firstStep(tab, id)
  await visit(tab, 'tab=after')
  await open(tab)
  expect(await outcome(tab, id)).toEqual(['before', 'after'])
})

test('a tab that leaves hands the work on', async () => {
  const context = await openBrowser()
  const a = await openTab(context, 'tab=a')
  const b = await openTab(context, 'tab=b')
  await open(a)
  await open(b)
  await a.evaluate(() => page.tab.leave())
  await b.waitForFunction(() => page.tab.isWorking())
  expect(await isWorking(a)).toBe(false)
  expect(await outcome(a, await trigger(a))).toEqual(['b', 'b'])
})

test('a tab whose page fails when the work comes keeps it, and the page hears of the error', async () => {
  const context = await openBrowser()
  const a = await openTab(context, 'tab=a&fails')
  const b = await openTab(context, 'tab=b')
  const error = a.waitForEvent('pageerror')
  await open(a)
  expect(await error).toMatchObject({ message: 'the page is broken' })
  await open(b)
  expect(await outcome(b, await trigger(b))).toEqual(['a', 'a'])
  expect([await isWorking(a), await isWorking(b)]).toEqual([true, false])
})

test('a tab whose worker does not start leaves the work to another, and says so', async () => {
  const context = await openBrowser()
  const a = await openTab(context, 'tab=a&breaks')
  const b = await openTab(context, 'tab=b')
  const error = a.waitForEvent('pageerror')
  await open(a)
  expect(await error).toMatchObject({ message: 'the worker does not start' })
  await open(b)
  expect(await outcome(b, await trigger(b))).toEqual(['b', 'b'])
  expect([await isWorking(a), await isWorking(b)]).toEqual([false, true])
})

test('tells whether the browser keeps the data, and refuses where tabs cannot agree', async () => {
  const tab = await openTab(await openBrowser(), 'tab=a')
  await open(tab)
  expect(await tab.evaluate(() => page.tab.isPersistent())).toBe(false)
  await tab.evaluate(() => Object.defineProperty(navigator, 'locks', { value: undefined }))
  await expect(open(tab)).rejects.toThrow('this page has no Web Locks')
})

test('without the headers nothing is kept in memory unasked, and the error names them', async () => {
  const context = await openBrowser()
  const tab = await openTab(context, 'tab=a', plain)
  const said = await tab.evaluate(() => page.storage())
  expect(said).toMatch(/^DurablyError: The database would be lost with this page/)
  expect(said).toContain('Cross-Origin-Opener-Policy: same-origin')
  const inMemory = await openTab(context, 'tab=a&db=:memory:', plain)
  expect(await inMemory.evaluate(() => page.storage())).toBe('ready')
})
