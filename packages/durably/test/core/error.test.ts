import { expect, test } from 'vitest'
import { describeError } from '../../src/core/describe-error.ts'
import {
  CancelledError,
  ConflictError,
  NonRetryableError,
  restoreError,
  RetryAfterError,
  RunFailedError,
  TimeoutError,
  ValidationError,
} from '../../src/core/error.ts'

/** As it comes back from the database. */
function stored(error: unknown): Error {
  return restoreError(JSON.parse(JSON.stringify(describeError(error))) as never)
}

test.each([
  new ValidationError('no', [{ message: 'too short', path: ['name', 0] }]),
  new ValidationError('no'),
  new RunFailedError('run-1', { name: 'TypeError', message: 'no', step: 'charge' }),
  new RetryAfterError('5s'),
  new ConflictError('no'),
  new CancelledError('no'),
  new NonRetryableError('no', { cause: new RangeError('far') }),
  new TimeoutError('late'),
  new RangeError('far'),
])('$name comes back as it was', (error) => {
  const back = stored(error)
  expect(back).toBeInstanceOf(error.constructor)
  expect(back).toMatchObject(Object.fromEntries(Object.entries(error)))
  expect(back).toMatchObject({ name: error.name, message: error.message })
  expect(back.stack).toBe(error.stack)
})

test('an AggregateError comes back with its errors', () => {
  const back = stored(new AggregateError([new TypeError('a'), 'b'], 'both'))
  expect(back).toBeInstanceOf(AggregateError)
  expect(back).toMatchObject({ errors: [{ name: 'TypeError', message: 'a' }, { message: 'b' }] })
})

test.each(['ValidationError', 'TimeoutError', 'ConflictError', 'RunFailedError'])(
  "another library's %s is none of Durably's",
  (name) => {
    const back = stored(Object.assign(new Error('theirs'), { name, code: 23 }))
    expect(back).toMatchObject({ name, message: 'theirs', code: 23 })
    expect(Object.getPrototypeOf(back)).toBe(Error.prototype)
  },
)

test('of what an error says too long for anyone to read, the beginning is kept', () => {
  const back = stored(new Error(`no ${'x'.repeat(3e6)}`))
  expect(back.message.slice(0, 5)).toBe('no xx')
  expect(back.message.slice(-23)).toBe('x… (3000003 characters)')
  expect(JSON.stringify(describeError(back)).length).toBeLessThan(1_100_000)
})

test('errors that hold each other come to an end', () => {
  const inner = new AggregateError([], 'inner')
  const outer = new AggregateError([inner, inner], 'outer', { cause: inner })
  inner.errors.push(outer, outer)
  expect(stored(outer)).toMatchObject({ message: 'outer', errors: [{ message: 'inner' }, {}] })
})
