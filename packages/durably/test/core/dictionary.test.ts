import { fork } from 'node:child_process'
import { once } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createDictionary } from '../../src/core/dictionary.ts'

const key = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', '0', '1', ''),
  fc.string(),
)

test('does what a Map does, whatever the keys are', () => {
  const what = fc.constantFrom('set', 'delete')
  fc.assert(
    fc.property(fc.array(fc.tuple(what, key, fc.nat())), (operations) => {
      const [map, dictionary] = [new Map<string, number>(), createDictionary<number>()]
      for (const [what, key, value] of operations) {
        if (what === 'delete') expect(dictionary.delete(key)).toBe(map.delete(key))
        else for (const one of [map, dictionary]) one.set(key, value)
        expect(dictionary.get(key)).toBe(map.get(key))
        expect(dictionary.has(key)).toBe(map.has(key))
      }
      expect(dictionary.size).toBe(map.size)
      expect(dictionary.keys().sort()).toEqual([...map.keys()].sort())
      expect(new Set(dictionary.values())).toEqual(new Set(map.values()))
    }),
  )
})

test('keeps nothing of what came and went, where a Map does', async () => {
  const [map, dictionary] = [await megabytesLeft('Map'), await megabytesLeft('dictionary')]
  expect(map).toBeGreaterThan(2 * dictionary)
})

/** In the space of old objects at most, while 20,000 values of some 6 KB come and go. */
async function megabytesLeft(table: string): Promise<number> {
  const options = { execArgv: ['--expose-gc', '--max-semi-space-size=16'] }
  const child = fork(new URL('churn-process.ts', import.meta.url), [table], options)
  const [megabytes] = (await once(child, 'message')) as [number]
  return megabytes
}
