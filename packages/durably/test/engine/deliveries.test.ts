import { expect, test } from 'vitest'
import { createDeliveries } from '../../src/engine/deliveries.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'

function setUp() {
  const time = createVirtualTime(0)
  const deliveries = createDeliveries(time.createEnv(), 3)
  const delivered: string[] = []
  const deliver = (name: string) => () => void delivered.push(name)
  const expected = ['a', 'b', 'c'].map(
    (name, position) => () => deliveries.ask(position, deliver(name)),
  )
  const [askA, askB, askC] = expected as [() => void, () => void, () => void]
  return { ...time, deliveries, deliver, delivered, askA, askB, askC }
}

test('whose turn it is is served at once, and the next one after a turn', async () => {
  const { delivered, settle, askA, askB, askC } = setUp()
  askA()
  expect(delivered).toEqual(['a'])
  askB()
  askC()
  expect(delivered).toEqual(['a'])
  await settle()
  expect(delivered).toEqual(['a', 'b', 'c'])
})

test('all that follows from an outcome comes before the next one', async () => {
  const { deliveries, settle } = setUp()
  const order: string[] = []
  const outcome = (name: string) => async (): Promise<void> => {
    for (let i = 0; i < 10; i++) {
      order.push(name)
      await Promise.resolve()
    }
  }
  for (const name of ['x', 'y', 'z']) deliveries.push(() => void outcome(name)())
  await settle()
  expect(order.join('')).toBe('x'.repeat(10) + 'y'.repeat(10) + 'z'.repeat(10))
})

test('who asks ahead waits for those before it', async () => {
  const { delivered, settle, askA, askB, askC } = setUp()
  askC()
  askB()
  askA()
  expect(delivered).toEqual([])
  await settle()
  expect(delivered).toEqual(['a', 'b', 'c'])
})

test('an outcome of this execution that comes before recorded ones leaves them their order', async () => {
  const { deliveries, deliver, delivered, settle, askA, askB, askC } = setUp()
  deliveries.push(deliver('x'))
  await settle()
  askA()
  await Promise.resolve()
  await Promise.resolve()
  askC()
  askB()
  await settle()
  expect(delivered).toEqual(['x', 'a', 'b', 'c'])
})

test('who is not asked for holds nobody up', async () => {
  const { delivered, settle, askA, askC } = setUp()
  askA()
  askC()
  await settle()
  expect(delivered).toEqual(['a', 'c'])
})

test('who asks late is served at once', async () => {
  const { delivered, settle, askA, askB, askC } = setUp()
  askB()
  askC()
  await settle()
  askA()
  expect(delivered).toEqual(['b', 'c', 'a'])
})

test('new outcomes come after those that were recorded and asked for', async () => {
  const { delivered, settle, deliveries, deliver, askC } = setUp()
  askC()
  deliveries.push(deliver('new'))
  await settle()
  expect(delivered).toEqual(['c', 'new'])
})
