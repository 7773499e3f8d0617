import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { rolldown, type OutputChunk } from 'rolldown'
import { expect, test } from 'vitest'

const packages = fileURLToPath(new URL('../../..', import.meta.url))
const source = `${packages}/durably/src`

const KB = 1000

/** What a page loads at once, minified and compressed, of what it imports from `input`. */
async function bytesOf(input: string, external: readonly (string | RegExp)[]): Promise<number> {
  const bundle = await rolldown({
    input,
    external: [...external],
    platform: 'browser',
    resolve: {
      alias: {
        '@coji/durably/client': `${source}/client.ts`,
        '@coji/durably/observers': `${source}/observers.ts`,
      },
    },
  })
  const { output } = await bundle.generate({ minify: true, format: 'esm' })
  const chunks = output.filter((file): file is OutputChunk => file.type === 'chunk')
  const entry = chunks.find(({ isEntry }) => isEntry)
  const first = chunks.filter((chunk) => chunk === entry || entry?.imports.includes(chunk.fileName))
  expect(first.length).toBeGreaterThan(0)
  return first.reduce((sum, { code }) => sum + gzipSync(code, { level: 9 }).length, 0)
}

test('the client is 6 KB, and what decodes dates and maps comes when it is needed', async () => {
  expect(await bytesOf(`${source}/client.ts`, [])).toBeLessThanOrEqual(6 * KB)
})

test('the hooks are 4 KB beside the observers that they stand on, and 6.5 KB with them', async () => {
  const hooks = `${packages}/durably-react/src/index.ts`
  expect(await bytesOf(hooks, ['react', /^@coji\/durably\//])).toBeLessThanOrEqual(4 * KB)
  expect(await bytesOf(hooks, ['react'])).toBeLessThanOrEqual(6.5 * KB)
})
