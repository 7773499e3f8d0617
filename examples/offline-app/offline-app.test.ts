import { join } from 'node:path'
import { chromium, type Browser, type Locator, type Page } from 'playwright'
import { build, preview, type PreviewServer } from 'vite'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { launchOptions } from '../../packages/durably/test/browser/chromium.ts'

const root = join(import.meta.dirname, 'web')
const configFile = join(import.meta.dirname, 'vite.config.ts')

let browser: Browser
let server: PreviewServer
beforeAll(async () => {
  // As its users get it, with React and the service worker as in production.
  vi.stubEnv('NODE_ENV', 'production')
  await build({ configFile, root, logLevel: 'error' })
  server = await serve(configFile)
  browser = await chromium.launch(launchOptions())
}, 60_000)
afterAll(async () => {
  vi.unstubAllEnvs()
  await browser.close()
  await server.close()
})

function serve(config: string | false): Promise<PreviewServer> {
  const build = { outDir: '../dist' }
  const free = { port: 0, strictPort: false }
  return preview({ configFile: config, root, build, preview: free, logLevel: 'error' })
}

/** A browser profile with nothing stored, and how to open the app in its tabs. */
async function openBrowser({ resolvedUrls } = server) {
  const context = await browser.newContext()
  onTestFinished(() => context.close())
  return async () => {
    const page = await context.newPage()
    await page.goto(resolvedUrls?.local[0] ?? '')
    return page
  }
}

const soon = { timeout: 20_000 }

const says = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor(soon)

/** Of the sample: 320 rows. */
const BANDS = 14

async function develop(page: Page, exposure: 'short' | 'normal'): Promise<void> {
  await page.getByLabel('Exposure').selectOption(exposure)
  // The effect that hands something on from band to band.
  await page.getByText('grain', { exact: true }).first().click()
  await page.getByRole('button', { name: 'Mountains', exact: true }).click()
}

const print = (page: Page): Locator =>
  page.getByLabel('Gallery').getByRole('img', { name: 'Mountains, grain' })

/** Tells prints apart. */
const digest = (image: Locator): Promise<string> =>
  image.evaluate(async (element) => {
    const bytes = await (await fetch((element as HTMLImageElement).src)).arrayBuffer()
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
    return hash.join(' ')
  })

/** How often each band was exposed, by the log of the newest run. */
async function exposures(page: Page): Promise<number[]> {
  const newest = page.getByLabel('History').getByRole('listitem').first()
  await newest.getByRole('button', { name: 'Log' }).click()
  await newest.getByText('printed: ').waitFor(soon)
  const lines = (await newest.locator('.log').innerText()).split('\n')
  return Array.from({ length: BANDS }, (_, i) => {
    const said = ` band ${i + 1} of ${BANDS}`
    return lines.filter((line) => line.includes(said)).length
  })
}

/** Waits until some bands are exposed, and others not yet. Says how many. */
async function inTheMiddle(page: Page): Promise<number> {
  const said = page.getByLabel('On the bench').getByText(`of ${BANDS} bands`)
  await said.waitFor(soon)
  return Number.parseInt(await said.innerText(), 10)
}

/** The only print is the same as one that nothing interrupts. */
async function expectAsUninterrupted(page: Page): Promise<void> {
  const interrupted = await digest(print(page))
  await develop(page, 'short')
  await print(page).nth(1).waitFor(soon)
  expect(await digest(print(page).first())).toBe(interrupted)
}

test('a picture is developed, looked at and deleted', async () => {
  const page = await (await openBrowser())()
  await says(page, 'No prints yet.')
  await says(page, 'This tab works')
  await develop(page, 'short')
  await print(page).waitFor(soon)
  expect(await exposures(page)).toEqual(Array(BANDS).fill(1))
  await print(page).click()
  await page.getByRole('link', { name: 'Download' }).waitFor(soon)
  await page.keyboard.press('Escape')
  await page.getByLabel('Gallery').getByRole('button', { name: 'Delete' }).click()
  await says(page, 'No prints yet.')
  await says(page, 'Nothing yet.')
})

test('a run goes on when its page is loaded again, even without a server', async () => {
  const own = await serve(configFile)
  const page = await (await openBrowser(own))()
  await page.evaluate(async () => void (await navigator.serviceWorker.ready))
  await develop(page, 'normal')
  const exposed = await inTheMiddle(page)
  await own.close()
  await page.reload()
  await says(page, `${BANDS} bands, `)
  await says(page, 'taken up again 1×')
  const counts = await exposures(page)
  expect(counts.slice(0, exposed)).toEqual(Array(exposed).fill(1))
  // At most the one that was cut off.
  expect(counts.filter((count) => count !== 1).length).toBeLessThanOrEqual(1)
  await expectAsUninterrupted(page)
})

test('one of two tabs works, and when it is closed the other goes on', async () => {
  const open = await openBrowser()
  const first = await open()
  await says(first, 'This tab works')
  const second = await open()
  await says(second, 'Another tab works')
  await develop(second, 'normal')
  const exposed = await inTheMiddle(second)
  await first.close()
  await says(second, 'This tab works')
  await says(second, `${BANDS} bands, `)
  expect((await exposures(second)).slice(0, exposed)).toEqual(Array(exposed).fill(1))
  await expectAsUninterrupted(second)
})

test('a run is cancelled and retried; what is no picture fails', async () => {
  const page = await (await openBrowser())()
  await develop(page, 'normal')
  const exposed = await inTheMiddle(page)
  await page.getByLabel('On the bench').getByRole('button', { name: 'Cancel' }).click()
  await says(page, 'Cancelled')
  expect(await print(page).count()).toBe(0)
  await page.getByRole('button', { name: 'Retry' }).click()
  await print(page).waitFor(soon)
  expect((await exposures(page)).slice(0, exposed)).toEqual(Array(exposed).fill(1))
  const notes = { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('Buy paper') }
  await page.locator('input[type=file]').setInputFiles(notes)
  await says(page, 'notes.txt is no picture that this browser can read')
})

test('without the headers the page says what is missing', async () => {
  const plain = await serve(false)
  onTestFinished(() => plain.close())
  const page = await (await openBrowser(plain))()
  const alert = page.getByRole('alert')
  await alert.getByText('The darkroom cannot open here').waitFor(soon)
  await alert.getByText('Cross-Origin-Opener-Policy: same-origin').waitFor(soon)
})
