import { expect, onTestFinished, test, vi } from 'vitest'
import { storedPath } from '../../src/store/sql/dialects/sqlocal-client.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

const inMemory = { getDatabaseInfo: async () => ({ storageType: 'memory' }) }

/** What a page knows of itself; `test/tabs` and `test/browser` have real ones. */
test.each([
  ['http', { isSecureContext: false }, 'on https and localhost only'],
  ['no headers', { crossOriginIsolated: false }, 'Cross-Origin-Embedder-Policy: require-corp'],
  ['no OPFS', { navigator: { storage: {} } }, 'this browser has no storage for databases'],
  [
    'anything else',
    { navigator: { storage: { getDirectory: () => {} } } },
    'SQLocal could not open its file',
  ],
])('a database that landed in memory tells why: %s', async (_what, page, reason) => {
  for (const [name, value] of Object.entries(page)) vi.stubGlobal(name, value)
  onTestFinished(() => void vi.unstubAllGlobals())
  const env = createVirtualTime(0).createEnv()
  const error: unknown = await storedPath(inMemory, env).catch((thrown: unknown) => thrown)
  expect(String(error)).toContain(reason)
  expect(String(error)).toContain("To keep it in memory on purpose, open ':memory:'.")
  expect(env.timers()).toBe(0)
})

test('a client whose worker never answers is given up, with what to look for', async () => {
  const time = createVirtualTime(0)
  const never = new Promise<never>(() => {})
  const path = storedPath({ getDatabaseInfo: () => never }, time.createEnv())
  await expect(time.until(path)).rejects.toThrow('exclude sqlocal from optimizeDeps')
  expect(time.now()).toBe(31_000)
})
