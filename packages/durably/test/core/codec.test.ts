import { expect, test } from 'vitest'
import { decode, encode, type Encoded, richCodec } from '../../src/core/codec.ts'

function stored(value: unknown): Encoded {
  const encoded = encode(value, richCodec, 'value')
  if (encoded instanceof Promise) throw new Error('The built-in codec is synchronous')
  return encoded
}

const pool = new Uint8Array(10_000).fill(7).buffer

test.each([
  ['a Buffer, of the pool that it shares', Buffer.from('hi'), new Uint8Array([104, 105])],
  ['bytes', new Uint8Array(pool, 10, 3), new Uint8Array([7, 7, 7])],
  ['numbers', new Uint16Array(pool, 10, 1), new Uint16Array([0x0707])],
  ['a DataView', new DataView(pool, 10, 2), new DataView(new Uint8Array([7, 7]).buffer)],
])('of a view only what it shows is stored: %s', (_, view, back) => {
  const encoded = stored({ view })
  expect(encoded.text.length).toBeLessThan(200)
  expect(decode(encoded, richCodec)).toStrictEqual({ view: back })
})

test.each([
  [{ a: [1, 'two', true, null] }, '{"a":[1,"two",true,null]}'],
  ['text', '"text"'],
  [0, '0'],
])('%j is stored as plain JSON', (value, text) => {
  expect(stored(value)).toEqual({ format: 'json', text })
})

test('an object that is met twice, but in no cycle, is plain JSON', () => {
  const shared = { n: 1 }
  expect(stored([shared, shared])).toEqual({ format: 'json', text: '[{"n":1},{"n":1}]' })
})

test('parts of parts that are all shared, which JSON would write for ever, are written once', () => {
  let doubled: unknown = ['bottom']
  for (let i = 0; i < 60; i++) doubled = { left: doubled, right: doubled }
  const encoded = stored(doubled)
  expect([encoded.format, encoded.text.length < 3000]).toEqual(['rich', true])
  const back = decode(encoded, richCodec) as { left: object; right: object }
  expect(back.left).toBe(back.right)
  const country = { code: 'NO' }
  expect(stored(Array.from({ length: 50_000 }, () => country)).format).toBe('json')
})

test('a codec whose decode is asynchronous is refused, not taken for a value', async () => {
  const codec = { encode: async (value: unknown) => String(value), decode: async () => 'late' }
  const encoded = await encode('value', codec, 'the value')
  expect(() => decode(encoded, codec)).toThrow('codec.decode must return the value itself')
})

test('what is longer than an entry of the journal can be is refused, with the way out', () => {
  expect(() => encode('x'.repeat(2 ** 28), richCodec, 'output of step "s"')).toThrow(
    /^Cannot store output of step "s": it is too deep or too long: 268435458 .* Keep it elsewhere/,
  )
})

test('what is nested deeper than the engine can go is refused as that', () => {
  let deep: unknown = 'bottom'
  for (let i = 0; i < 200_000; i++) deep = [deep]
  expect(() => encode(deep, richCodec, 'output')).toThrow(
    /^Cannot store output: it is too deep or too long: /,
  )
})
