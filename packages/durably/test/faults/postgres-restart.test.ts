import { expect, onTestFinished, test } from 'vitest'
import { startPostgres } from '../postgres-server.ts'
import { startLoadedWorker } from './loaded-worker.ts'

test('a server that crashes under load and comes back costs time, and nothing else', async () => {
  const server = await startPostgres()
  onTestFinished(() => server.stop())
  const worker = await startLoadedWorker({ connectionString: server.url })
  const restarted = server.restart()
  const triggered = worker.trigger()
  await restarted
  await worker.expectAllDone(await triggered)
  expect(worker.errors).not.toEqual([])
  expect(worker.errors.length).toBeLessThan(100)
}, 60_000)
