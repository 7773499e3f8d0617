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

test('who asks late is served, and then the next one at once again', async () => {
  const { delivered, settle, askA, askB, askC } = setUp()
  askB()
  await settle()
  askA()
  await settle()
  askC()
  expect(delivered).toEqual(['b', 'a', 'c'])
})

test('new outcomes come after every one that is asked for late in the same turn', async () => {
  const { deliveries, delivered, deliver, settle, askA, askB, askC } = setUp()
  askC()
  await settle()
  askA()
  await settle()
  deliveries.push(deliver('new'))
  askB()
  await settle()
  expect(delivered).toEqual(['c', 'a', 'b', 'new'])
})

test('who asks late comes before the next one, though that was asked for first', async () => {
  const { delivered, settle, askA, askB, askC } = setUp()
  askB()
  await settle()
  askC()
  askA()
  await settle()
  expect(delivered).toEqual(['b', 'a', 'c'])
})

test('the next one asked for as a reaction waits for one that is asked for late, in the same turn', async () => {
  const { deliveries, delivered, settle, askA, askC } = setUp()
  const reaction = async (): Promise<void> => {
    delivered.push('b')
    await Promise.resolve()
    askC()
    for (let i = 0; i < 10; i++) await Promise.resolve()
    askA()
  }
  deliveries.ask(1, () => void reaction())
  await settle()
  expect(delivered).toEqual(['b', 'a', 'c'])
})

test('of those who ask late, the one that was recorded first is served first', async () => {
  const { delivered, settle, askA, askB, askC } = setUp()
  askC()
  await settle()
  askB()
  askA()
  await settle()
  expect(delivered).toEqual(['c', 'a', 'b'])
})

test('new outcomes come after those that were recorded and asked for', async () => {
  const { delivered, settle, deliveries, deliver, askC } = setUp()
  askC()
  deliveries.push(deliver('new'))
  await settle()
  expect(delivered).toEqual(['c', 'new'])
})
