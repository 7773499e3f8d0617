import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const durablySource = fileURLToPath(new URL('packages/durably/src', import.meta.url))

export default defineConfig({
  test: {
    reporters: ['default', './scripts/closing-line.ts'],
    projects: [
      {
        // Other packages are tested against the sources, so that no test needs a build.
        resolve: {
          alias: [
            { find: /^@coji\/durably$/, replacement: `${durablySource}/index.ts` },
            { find: /^@coji\/durably\/(.+)$/, replacement: `${durablySource}/$1.ts` },
          ],
        },
        test: {
          name: 'durably',
          include: ['packages/durably/test/**/*.test.ts'],
          // Real databases on a busy machine with two cores: a slow test is not a failed one.
          testTimeout: 20_000,
          hookTimeout: 30_000,
          globalSetup: ['./packages/durably/test/postgres-server.ts'],
        },
      },
      {
        // They run as their readers run them: on the built package.
        test: {
          name: 'examples',
          include: ['examples/**/*.test.ts'],
          testTimeout: 60_000,
        },
      },
    ],
  },
})
