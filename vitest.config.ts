import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { playwright } from '@vitest/browser-playwright'
import { defineConfig } from 'vitest/config'
import { launchOptions } from './packages/durably/test/browser/chromium.ts'
import { folderInMemory } from './scripts/folder-in-memory.ts'

const browserBackends = fileURLToPath(
  new URL('packages/durably/test/browser-backends.ts', import.meta.url),
)
const durablySource = fileURLToPath(new URL('packages/durably/src', import.meta.url))
// Other packages are tested against the sources, so that no test needs a build.
const sources = [
  { find: /^@coji\/durably$/, replacement: `${durablySource}/index.ts` },
  { find: /^@coji\/durably\/(.+)$/, replacement: `${durablySource}/$1.ts` },
]

// Databases and browsers are killed here, the machine is not: no test has to wait for a disk.
process.env['TMPDIR'] ??= folderInMemory()
// Hundreds of processes are started and killed: what one has compiled the next need not.
process.env['NODE_COMPILE_CACHE'] ??= join(process.env['TMPDIR'], 'durably-compiled')

// Without a profile OPFS is memory of another process, and a write ten times as dear.
const profile = join(process.env['TMPDIR'], `durably-chromium-${process.pid}`)
process.once('exit', () => rmSync(profile, { recursive: true, force: true }))

const conformance = 'packages/durably/test/conformance/**/*.test.ts'
const simulation = 'packages/durably/test/simulation/*.test.ts'
const mutants = 'packages/durably/test/simulation/mutants.test.ts'

/** What keeps both cores busy by itself comes before the rest. */
const order = { simulation: 0, most: 1, browser: 2 }
/** One page and one process: the browser leaves room for that. */
const besideTheBrowser = { sequence: { groupOrder: order.browser }, maxWorkers: 1 }

const onDatabases = {
  // Real databases on a busy machine with two cores: a slow test is not a failed one.
  testTimeout: 60_000,
  hookTimeout: 60_000,
  globalSetup: ['./packages/durably/test/postgres-server.ts'],
}

export default defineConfig({
  test: {
    reporters: ['default', './scripts/closing-line.ts'],
    // Also on two cores: much of what tests do is wait for a disk, a page or a process.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: 'simulation',
          sequence: { groupOrder: order.simulation },
          include: [simulation],
          exclude: [mutants],
        },
      },
      {
        test: {
          name: 'mutants',
          ...besideTheBrowser,
          include: [mutants],
        },
      },
      {
        resolve: { alias: sources },
        test: {
          name: 'durably',
          sequence: { groupOrder: order.most },
          include: ['packages/durably/test/**/*.test.ts'],
          exclude: ['packages/durably/test/browser/**', conformance, simulation],
          ...onDatabases,
        },
      },
      {
        resolve: { alias: sources },
        test: {
          name: 'conformance',
          ...besideTheBrowser,
          // All files share a PGlite, which takes seconds to start.
          isolate: false,
          include: [conformance],
          ...onDatabases,
        },
      },
      {
        resolve: {
          alias: [...sources, { find: /^.*\/backends\.ts$/, replacement: browserBackends }],
        },
        // Without these there is no OPFS.
        server: {
          headers: {
            'Cross-Origin-Opener-Policy': 'same-origin',
            'Cross-Origin-Embedder-Policy': 'require-corp',
          },
        },
        optimizeDeps: {
          // It finds its worker, and SQLite its file, by their own addresses.
          exclude: ['sqlocal', '@sqlite.org/sqlite-wasm'],
          // What is found later makes the page load again, in the middle of a test.
          include: [
            'arktype',
            'devalue',
            'fast-check',
            'kysely',
            'react',
            'react-dom/client',
            'react-dom/server',
            'react/jsx-dev-runtime',
            'uuidv7',
            'valibot',
            'vitest-browser-react',
            'zod',
            'sqlocal > coincident',
          ],
        },
        worker: { format: 'es' },
        test: {
          name: 'browser',
          ...besideTheBrowser,
          isolate: false,
          include: [
            'packages/durably/test/browser/*.test.ts',
            conformance,
            'packages/durably-react/test/**/*.test.tsx',
          ],
          testTimeout: 20_000,
          hookTimeout: 30_000,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: launchOptions(),
              persistentContext: profile,
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        // They run as their readers run them: on the built package.
        test: {
          name: 'examples',
          sequence: { groupOrder: order.most },
          include: ['examples/**/*.test.ts'],
          testTimeout: 60_000,
        },
      },
    ],
  },
})
