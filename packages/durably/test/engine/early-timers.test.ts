import { expect, onTestFinished, test } from 'vitest'
import { assemble } from '../../src/durably.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

test('a worker whose database is away asks it less and less often, though timers are early', async () => {
  const time = createVirtualTime(0)
  const env = time.createEnv()
  const store = createMemoryStore()
  // Node's timers know whole milliseconds, of which they leave off the rest.
  const after: typeof env.after = (ms, fn) => env.after(Math.max(1, Math.trunc(ms)), fn)
  const early = { ...env, after }
  const away = { ...store, look: () => Promise.reject(new Error('away')) }
  const durably = assemble(away, early, {})
  onTestFinished(() => time.until(durably.close()).then(() => {}))
  const errors: number[] = []
  durably.on('worker:error', () => {
    errors.push(time.now())
  })
  durably.start()
  await time.advance(60_000)
  const gaps = errors.slice(1).map((at, i) => at - (errors[i] ?? 0))
  expect(gaps.slice(8).every((gap) => gap >= 2000)).toBe(true)
  expect(errors.length).toBeGreaterThan(10)
  expect(errors.length).toBeLessThan(40)
})
