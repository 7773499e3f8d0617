import { expect, test } from 'vitest'
import type { Watcher } from '../../src/events/bus.ts'
import { createRunWaits } from '../../src/events/run-waits.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

test('a run that is expected may complete before anyone asks what it came to', async () => {
  const watchers = new Map<string, Watcher>()
  const waits = createRunWaits({
    env: createVirtualTime(0).createEnv(),
    pollMs: 1000,
    read: () => Promise.reject(new Error('nothing has to be read')),
    watch(runId, watcher) {
      watchers.set(runId, watcher)
      return () => void watchers.delete(runId)
    },
    onError(error) {
      throw error
    },
  })
  const expected = waits.expect('a')
  const value = { format: 'json', text: '1' } as const
  const run = { id: 'a', jobName: 'job', labels: {}, payload: value, output: value }
  watchers.get('a')?.onChange('run:complete', run)
  const how = { timeoutMs: null, timeoutMessage: '' }
  expect(await expected.outcome(how)).toMatchObject({ id: 'a', status: 'completed', output: value })
  expected.stop()
  expect(watchers.size).toBe(0)
})

test.each(['timeout', 'signal'])('a %s ends the wait though a read has no answer', async (way) => {
  const time = createVirtualTime(0)
  const waits = createRunWaits({
    env: time.createEnv(),
    pollMs: 1000,
    read: () => new Promise(() => {}),
    watch: () => () => {},
    onError(error) {
      throw error
    },
  })
  const abort = new AbortController()
  const timeoutMs = way === 'timeout' ? 500 : null
  const how = { timeoutMs, timeoutMessage: 'too late', signal: abort.signal }
  const ended = waits.ended('a', how).catch((error: unknown) => String(error))
  if (way === 'timeout') await time.advance(500)
  else abort.abort('Error: given up')
  expect(await ended).toBe(way === 'timeout' ? 'TimeoutError: too late' : 'Error: given up')
})
