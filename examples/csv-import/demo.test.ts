import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

test('the demo keeps what was done before the kill, and every airport is in the table once', async () => {
  // Rejects unless the demo exits with 0.
  const { stdout } = await run('npm', ['run', '--silent', 'demo'], { cwd: root })

  expect(stdout).toMatch(/SIGKILL to worker 1, in the middle of "rows \d+-\d+"/)
  for (const kept of ['count rows', 'rows 1-400', 'rows 401-800', 'rows 801-1200']) {
    expect(stdout).toMatch(new RegExp(`= ${kept} +kept, not run again`))
  }
  expect(
    stdout.match(/↻ rows .* ran again: \d+ rows inserted, \d+ were there already/g),
  ).toHaveLength(1)
  expect(stdout).toMatch(/✓ rows 3201-3376 +176 rows inserted, 0 were there already/)
  expect(stdout).toMatch(
    / 3,376 {2}rows\n +3,376 {2}different airports\n +yes {2}equal to the file/,
  )
  expect(stdout).toContain('Every airport exactly once')
})
