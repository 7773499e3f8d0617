import fc from 'fast-check'
import { DurablyError } from '../../src/core/error.ts'

/** What a hostile value throws when it is looked at: the caller's own error, which the caller may get back. */
class Trap extends Error {
  override readonly name = 'Trap'
}

function spring(): never {
  throw new Trap('do not look at me')
}

const circle: Record<string, unknown> = { name: 'circle' }
circle.self = circle

const traps: ProxyHandler<object> = {
  get: spring,
  // fast-check itself must be able to pass it on.
  has: (_, key) => (key === fc.cloneMethod ? false : spring()),
  ownKeys: spring,
  getPrototypeOf: spring,
  getOwnPropertyDescriptor: spring,
}

const curiosities: readonly unknown[] = [
  '',
  '__proto__',
  'a\0b',
  'half a pair \uD800',
  'x'.repeat(100_000),
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -0,
  -1,
  1.5,
  Number.MAX_SAFE_INTEGER,
  2n ** 70n,
  Symbol('curious'),
  () => 'called',
  null,
  undefined,
  new Date(Number.NaN),
  Object.create(null),
  JSON.parse('{"__proto__": "own"}'),
  circle,
  new (class Custom {})(),
  new Map<unknown, unknown>([[Object.create(null), () => 1]]),
  { toString: spring },
  { toJSON: spring },
  new Proxy({}, traps),
  new Proxy([], traps),
  new Proxy(() => {}, traps),
]

const ordinary: readonly unknown[] = [0, 1, '1s', '30d', 'key', 'skip', { a: 'b' }, new Date(), []]

/** What code without TypeScript, or a request from outside, may pass. */
export function hostile(): fc.Arbitrary<unknown> {
  return fc.oneof(
    fc.constantFrom(...curiosities),
    fc.constantFrom(...ordinary),
    fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withNullPrototype: true,
      withObjectString: true,
      withSparseArray: true,
      withTypedArray: true,
    }),
  )
}

/** An object with some of these options, or no such object at all. */
export function hostileOptions(...names: readonly string[]): fc.Arbitrary<unknown> {
  const options = Object.fromEntries(names.map((name) => [name, hostile()]))
  return fc.oneof(hostile(), fc.record(options, { requiredKeys: [] }))
}

/** Calls it. What is thrown must be made for the caller, and say something; it is returned. */
export async function attempt(call: () => unknown): Promise<unknown> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof Trap) return error
    if (error instanceof DurablyError && error.message !== '') return error
    throw new Error('This is no error for a caller', { cause: error })
  }
}

/** Names of errors that a run may fail with because of what its job passed. */
export const refusals: readonly string[] = [
  'ValidationError',
  'SerializationError',
  'DuplicateStepError',
  'Trap',
]
