import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

/** The server on a database of its own. */
async function start(): Promise<string> {
  const cwd = mkdtempSync(join(tmpdir(), 'durably-expenses-'))
  const PORT = String(await freePort())
  const server = spawn(process.execPath, [join(import.meta.dirname, 'server.ts')], {
    cwd,
    env: { ...process.env, PORT },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  onTestFinished(async () => {
    if (server.exitCode === null) {
      server.kill('SIGKILL')
      await once(server, 'exit')
    }
    rmSync(cwd, { recursive: true, force: true })
  })
  await once(server.stdout, 'data')
  return `http://localhost:${PORT}`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('what is asked wrongly is refused, and does not end the server', async () => {
  const address = await start()
  const paths = ['/ask?amount=much', '/approve/x', '/cancel/x', '//', '/ask?amount=40']
  const statuses: number[] = []
  for (const path of paths) statuses.push((await fetch(`${address}${path}`)).status)
  expect(statuses).toEqual([400, 404, 404, 500, 200])
})
