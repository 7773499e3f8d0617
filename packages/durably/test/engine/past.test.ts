import { expect, test } from 'vitest'
import { createPasts } from '../../src/engine/past.ts'

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `step ${i}`)

test('each name has one past, in whatever order the journal and the code have them', () => {
  const orders = [
    names(5),
    names(5).toReversed(),
    ['step 3', 'step 0', 'step 4', 'step 1', 'step 2'],
  ]
  for (const recorded of orders) {
    for (const asked of orders) {
      const pasts = createPasts()
      const of = (name: string) => pasts.of(name, Number(name.at(-1)))
      const made = new Map(recorded.map((name) => [name, of(name)]))
      for (const name of [...recorded, ...recorded.toReversed()])
        expect(of(name)).toBe(made.get(name))
      for (const name of [...asked, ...asked]) expect(pasts.find(name)).toBe(made.get(name))
      expect(new Set(pasts.all())).toEqual(new Set(made.values()))
    }
  }
})

test('a name that the journal does not have gets the first place that is free there', () => {
  const pasts = createPasts()
  for (const index of [3, 0, 1]) pasts.of(`step ${index}`, index)
  expect(pasts.find('new')).toBeNull()
  const begun = ['new', 'newer', 'newest'].map((name) => pasts.begin(name))
  expect(begun.map(({ index }) => index)).toEqual([2, 4, 5])
  for (const past of begun) expect(pasts.find(past.name)).toBe(past)
})

test('two names at one place, as no journal has them, stay two', () => {
  const pasts = createPasts()
  const [one, other] = [pasts.of('one', 0), pasts.of('other', 0)]
  expect(other).not.toBe(one)
  expect([pasts.find('one'), pasts.find('other')]).toEqual([one, other])
  expect(pasts.of('far', Number.MAX_SAFE_INTEGER)).toBe(pasts.find('far'))
})
