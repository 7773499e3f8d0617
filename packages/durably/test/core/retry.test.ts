import { expect, test } from 'vitest'
import { readRetry } from '../../src/core/retry.ts'

test('delays grow to the longest one, and stay numbers after very many attempts', () => {
  const error = new Error('no')
  const policy = { attempts: 10_000, delay: 100, maxDelay: '1s' } as const
  const delayOf = readRetry(policy, 'retry')
  const delays = [1, 2, 3, 4, 5, 6, 5000].map((attempt) => delayOf(attempt, error, () => 0))
  expect(delays).toEqual([100, 200, 400, 800, 1000, 1000, 1000])
  expect(delayOf(10_000, error, () => 0)).toBeNull()
  expect(readRetry({ ...policy, delay: 0 }, 'retry')(5000, error, () => 0)).toBe(0)
})

test('chance takes away a part of a delay, never more', () => {
  const delayOf = readRetry({ delay: 100, jitter: 0.5 }, 'retry')
  expect([0, 0.5, 0.999].map((chance) => delayOf(1, new Error('no'), () => chance))).toEqual([
    100, 75, 51,
  ])
})
