import { expect, test } from 'vitest'
import { createJanitor } from '../../src/engine/janitor.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'
import { act, enqueue, newRun } from '../conformance/store/scenario.ts'

const MINUTE = 60_000

test('who stops and starts while old runs are purged has one janitor, not two', async () => {
  const time = createVirtualTime(0)
  const env = time.createEnv()
  const store = createMemoryStore()
  const purged = Promise.withResolvers<void>()
  let sweeps = 0
  const janitor = createJanitor({
    store: {
      ...store,
      purge: async (...args) => {
        if (++sweeps === 1) await purged.promise
        return store.purge(...args)
      },
    },
    env,
    retainMs: MINUTE,
    onPurged: () => expect.unreachable('nothing was old enough'),
    onError: (error) => expect.unreachable(String(error)),
  })
  janitor.start()
  await time.advance(10)
  janitor.stop()
  janitor.start()
  await time.advance(10)
  purged.resolve()
  await time.advance(10)
  expect(sweeps).toBe(2)
  await time.advance(10 * MINUTE)
  expect(sweeps).toBe(12)
  janitor.stop()
  expect(env.timers()).toBe(0)
})

test('what one sweep purges is told once, however many batches it takes', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const ids = Array.from({ length: 250 }, (_, i) => `run ${i}`)
  await enqueue(
    store,
    ids.map((id) => newRun(id)),
    0,
  )
  for (const id of ids) await act(store, 'cancel', id, 0)
  let told = 0
  const janitor = createJanitor({
    store,
    env: time.createEnv(),
    retainMs: MINUTE,
    onPurged: () => told++,
    onError: (error) => expect.unreachable(String(error)),
  })
  await time.advance(2 * MINUTE)
  janitor.start()
  await time.advance(10 * MINUTE)
  janitor.stop()
  expect(await store.runs({})).toEqual([])
  expect(told).toBe(1)
})
