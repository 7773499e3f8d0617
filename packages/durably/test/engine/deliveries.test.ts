import { expect, test } from 'vitest'
import { createDeliveries } from '../../src/engine/deliveries.ts'
import { createVirtualTime } from '../virtual-env.ts'

function setUp() {
  const time = createVirtualTime(0)
  const deliveries = createDeliveries(time.createEnv())
  const delivered: string[] = []
  const deliver = (name: string) => () => void delivered.push(name)
  const expected = ['a', 'b', 'c'].map((name) => {
    const position = deliveries.expect()
    return () => deliveries.ask(position, deliver(name))
  })
  const [askA, askB, askC] = expected as [() => void, () => void, () => void]
  const push = (name: string): void => deliveries.push(deliver(name))
  return { ...time, delivered, askA, askB, askC, push }
}

test('whose turn it is is served at once', () => {
  const { delivered, askA, askB, askC } = setUp()
  askA()
  expect(delivered).toEqual(['a'])
  askB()
  askC()
  expect(delivered).toEqual(['a', 'b', 'c'])
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

test('who is not asked for holds nobody up', async () => {
  const { delivered, settle, askA, askC } = setUp()
  askA()
  askC()
  await settle()
  expect(delivered).toEqual(['a', 'c'])
})

test('who asks late is served at once', async () => {
  const { delivered, settle, askB, askC, askA } = setUp()
  askB()
  askC()
  await settle()
  askA()
  expect(delivered).toEqual(['b', 'c', 'a'])
})

test('new outcomes come after those that were recorded and asked for', async () => {
  const { delivered, settle, askC, push } = setUp()
  askC()
  push('new')
  await settle()
  expect(delivered).toEqual(['c', 'new'])
})
