import { expect, test } from 'vitest'
import { createWaits } from '../../src/engine/waits.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

const MANY = 1000

test('a wait that opens costs the same whatever else is open, and each ends in its time', async () => {
  const time = createVirtualTime(0)
  const virtual = time.createEnv()
  let looks = 0
  const env = {
    ...virtual,
    now() {
      looks++
      return virtual.now()
    },
  }
  const waits = createWaits({
    run: { id: 'run', inbox: 0 },
    store: createMemoryStore(),
    env,
    onSettled: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  const ended: number[] = []
  for (let index = 0; index < MANY; index++) {
    // The last that opens is the first to end.
    const until = MANY - index
    waits.open({
      name: `wait ${index}`,
      index,
      sources: [{ kind: 'sleep', name: `wait ${index}`, until }],
      since: 0,
      end: () => void ended.push(time.now()),
    })
  }
  expect(looks).toBeLessThan(10 * MANY)
  expect(virtual.timers()).toBe(1)
  expect(waits.nextTime()).toBe(1)
  await time.advance(MANY)
  expect(ended).toEqual(Array.from({ length: MANY }, (_, i) => i + 1))
  expect(virtual.timers()).toBe(0)
})
