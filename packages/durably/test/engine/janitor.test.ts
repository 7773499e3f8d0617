import { expect, test } from 'vitest'
import { createJanitor } from '../../src/engine/janitor.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

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
    onPurged: () => {},
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
