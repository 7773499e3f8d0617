import { expect, test } from 'vitest'
import { createWatcher } from '../../src/engine/watcher.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

function setUp(first: number | null = 1) {
  const time = createVirtualTime(0)
  const env = time.createEnv()
  let number = first
  let reads = 0
  const heard: number[] = []
  const watcher = createWatcher({
    env,
    version: () => {
      reads++
      return time.track(Promise.resolve(number))
    },
    onChange: () => void heard.push(time.now()),
  })
  return {
    time,
    env,
    watcher,
    heard,
    reads: () => reads,
    change: () => (number = (number ?? 0) + 1),
  }
}

test('a change is heard within 50 ms, and the next one within 2', async () => {
  const { time, watcher, heard, change } = setUp()
  const letGo = watcher.hold()
  await time.advance(1000)
  change()
  await time.advance(50)
  expect(heard).toHaveLength(1)
  change()
  await time.advance(2)
  expect(heard).toHaveLength(2)
  letGo()
})

test('who commits all the time looks less often', async () => {
  const { time, watcher, reads } = setUp()
  const letGo = watcher.hold()
  for (let ms = 0; ms < 100; ms++) {
    for (let i = 0; i < 2; i++) watcher.touch()
    await time.advance(1)
  }
  expect(reads()).toBeLessThan(30)
  letGo()
})

test('who was busy for a moment goes on looking often', async () => {
  const { time, watcher, heard, change } = setUp()
  const letGo = watcher.hold()
  for (let i = 1; i <= 10; i++) {
    for (let touches = 0; touches < 5; touches++) watcher.touch()
    await time.advance(2)
    change()
    await time.advance(2)
    expect(heard).toHaveLength(i)
  }
  letGo()
})

test('it is quiet again two seconds after the last change', async () => {
  const { time, watcher, reads } = setUp()
  const letGo = watcher.hold()
  watcher.touch()
  await time.advance(3000)
  const before = reads()
  await time.advance(1000)
  expect(reads() - before).toBe(20)
  letGo()
})

test('nobody reads when nobody holds it, and it can be held again', async () => {
  const { time, env, watcher, heard, reads, change } = setUp()
  const [one, other] = [watcher.hold(), watcher.hold()]
  await time.advance(100)
  one()
  one()
  change()
  await time.advance(50)
  expect(heard).toHaveLength(1)
  other()
  expect(env.timers()).toBe(0)
  const before = reads()
  await time.advance(1000)
  expect(reads()).toBe(before)
  const again = watcher.hold()
  await time.advance(50)
  expect(reads()).toBeGreaterThan(before)
  again()
})

test('released while it reads, it sets no timer', async () => {
  const { time, env, watcher } = setUp()
  watcher.hold()()
  await time.settle()
  expect(env.timers()).toBe(0)
})

test('a number that is not to be looked at is looked at once', async () => {
  const { time, env, watcher, heard, reads } = setUp(null)
  watcher.hold()()
  watcher.hold()
  watcher.touch()
  await time.advance(5000)
  watcher.hold()
  await time.advance(5000)
  expect(reads()).toBe(1)
  expect(heard).toEqual([])
  expect(env.timers()).toBe(0)
})
