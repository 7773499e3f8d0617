import { describe, expect, test } from 'vitest'
import type { Codec } from '../../../src/core/codec.ts'
import { job, onEveryBackend } from './world.ts'

class Money {
  readonly amount = 5
}

class Celsius {
  readonly degrees: number
  constructor(degrees: number) {
    this.degrees = degrees
  }
  toJSON(): { degrees: number } {
    return { degrees: this.degrees }
  }
}

const cyclic: Record<string, unknown> = { name: 'ring' }
cyclic.self = cyclic

/** Each with what comes back, where that is something else. */
const values: [name: string, value: unknown, back?: unknown][] = [
  ['null', null],
  ['zero', 0],
  ['minus zero', -0],
  ['NaN', Number.NaN],
  ['infinities', [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
  ['a large number', 2 ** 53 + 2],
  ['empty text', ''],
  ['false', false],
  ['undefined inside', { a: undefined, b: [undefined] }],
  ['a hole', [1, , 3]], // oxlint-disable-line no-sparse-arrays
  ['a date', new Date('2026-05-05T05:05:05.005Z')],
  ['an invalid date', new Date(Number.NaN)],
  ['a BigInt', 2n ** 80n],
  [
    'a map',
    new Map<unknown, unknown>([
      ['a', 1n],
      [{ k: 1 }, new Set([1])],
    ]),
  ],
  ['a set', new Set(['a', new Date(0)])],
  ['a URL', new URL('https://example.com/a?b=c')],
  ['a regular expression', /a\/b/giu],
  ['a Uint8Array', new Uint8Array([0, 255, 7])],
  ['a Float64Array', new Float64Array([1.5, Number.NaN])],
  ['a BigInt64Array', new BigInt64Array([-1n])],
  ...buffers(),
  ['an object with toJSON', { t: new Celsius(20) }, { t: { degrees: 20 } }],
  ['a rich object with toJSON', { t: new Celsius(20), n: 1n }, { t: { degrees: 20 }, n: 1n }],
  ['NUL in text', { 'a\0b': 'c\0d' }],
  ['half a surrogate pair', '\uD800 and \uDC00'],
  ['emoji', { '🎈': '👩‍👩‍👧' }],
  ['text that looks encoded', '[["Date","2026-01-01"]]'],
  ['an array that looks encoded', [['Date', '2026-01-01'], -1, [2]]],
  ['a key named __proto__', JSON.parse('{"__proto__":{"x":1},"ok":2}')],
  ['an object without prototype', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ['a cycle', cyclic],
  ['deep nesting', JSON.parse(`${'['.repeat(200)}${']'.repeat(200)}`)],
]

/** Browsers have none. */
function buffers(): [name: string, value: unknown, back: unknown][] {
  if (typeof Buffer === 'undefined') return []
  const bytes = Buffer.from('héllo')
  return [['a Buffer', bytes, new Uint8Array(bytes)]]
}

const refusedValues: [name: string, value: unknown, place: string][] = [
  ['a function', { list: [1, { fn: () => 1 }] }, '.list[1].fn: a function'],
  ['a symbol', { deep: { s: Symbol('s') } }, '.deep.s: a symbol'],
  ['an instance of a class', { price: new Money() }, '.price: an instance of Money'],
  ['a function in a map', new Map([['k', () => 1]]), '.get(k): a function'],
  ['a symbol in a set', new Set([Symbol('s')]), ' (a member): a symbol'],
  ['a symbol as a key', { a: { [Symbol('s')]: 1 } }, '.a: a symbol key'],
  ['a promise', { p: Promise.resolve(1) }, '.p: an instance of Promise'],
  ['a WeakMap', [new WeakMap()], '[0]: an instance of WeakMap'],
]

onEveryBackend((open) => {
  test.each(values)(
    '%s comes back from payload, step and output',
    async (_, value, back = value) => {
      const world = await open()
      const { jobs, durably } = await world.work({
        job: job(async (step, payload) => {
          expect(payload).toStrictEqual(back)
          const stored = await step.run('store', () => payload)
          expect(stored).toStrictEqual(back)
          return stored
        }),
      })
      const { id, output } = await jobs.job.triggerAndWait(value)
      expect(output).toStrictEqual(back)
      const [stored] = await durably.getSteps(id)
      expect(stored?.output).toStrictEqual(back)
      expect(await durably.getRun(id)).toMatchObject({ payload: back, output: back })
    },
  )

  test('an error comes back as an error', async () => {
    const world = await open()
    const { jobs } = await world.work({
      job: job((step, payload) => step.run('store', () => payload)),
    })
    const error = new TypeError('wrong', { cause: new Error('why') })
    const { output } = await jobs.job.triggerAndWait({ error })
    const { error: back } = output as { error: Error }
    expect(back).toBeInstanceOf(TypeError)
    expect(back).toMatchObject({ message: 'wrong', cause: { message: 'why' }, stack: error.stack })
  })

  test('undefined survives a step, and as output is null in the run', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        expect(await step.run('nothing', () => {})).toBeUndefined()
      }),
    })
    const { id, output } = await jobs.job.triggerAndWait(undefined)
    expect(output).toBeUndefined()
    expect(await durably.getRun(id)).toMatchObject({ payload: undefined, output: null })
  })

  describe.each(refusedValues)('%s is refused, with its place', (_, value, place) => {
    test('as a payload, before anything is stored', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({ job: job(() => 1) })
      await expect(jobs.job.trigger(value)).rejects.toMatchObject({
        name: 'SerializationError',
        message: expect.stringContaining(`Cannot store payload${place}`) as string,
      })
      expect(await durably.getRuns()).toEqual([])
    })

    test('as the result of a step and the output of a job', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({
        job: job((step, which) => (which === 'step' ? step.run('s', () => value) : value)),
      })
      for (const [which, what] of [
        ['step', 'output of step "s"'],
        ['job', 'output of job "job"'],
      ]) {
        const { id } = await jobs.job.trigger(which)
        await durably.waitForRun(id).catch(() => {})
        const run = await durably.getRun(id)
        expect(run?.errorDetail?.name).toBe('SerializationError')
        expect(run?.error).toContain(`Cannot store ${what}${place}`)
      }
    })
  })

  test('log data that cannot be stored is said to be so, and harms nothing', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) => step.log.info('look', { fn: () => 1 })),
    })
    const { id } = await jobs.job.triggerAndWait(null)
    expect(await durably.getLogs(id)).toMatchObject([
      { message: 'look', data: expect.stringContaining('log data.fn: a function') as string },
    ])
  })

  const reverse = (text: string): string => text.split('').toReversed().join('')
  const syncCodec: Codec = {
    encode: (value) => reverse(JSON.stringify(value)),
    decode: (text) => JSON.parse(reverse(text)) as unknown,
  }
  const asyncCodec: Codec = { ...syncCodec, encode: async (value) => syncCodec.encode(value) }

  test.each([
    ['a codec', syncCodec],
    ['an asynchronous codec', asyncCodec],
  ])('%s of the app stores payloads, results, logs and outputs', async (_, codec) => {
    const world = await open()
    const secret = { secret: 'se\0cret' }
    const { jobs, durably } = await world.work(
      {
        job: job(async (step, payload) => {
          step.log.info('line', payload)
          expect(await step.run('store', () => payload)).toEqual(secret)
          return payload
        }),
      },
      { codec },
    )
    const { id, output } = await jobs.job.triggerAndWait(secret)
    expect(output).toEqual(secret)
    expect(await durably.getLogs(id)).toMatchObject([{ data: secret }])
    expect(await durably.getSteps(id)).toMatchObject([{ output: secret }])

    const { durably: other } = await world.join({ codec: { ...codec, decode: (text) => text } })
    expect(await other.getRun(id)).toMatchObject({ payload: reverse(JSON.stringify(secret)) })
  })

  test('a codec that throws fails the step and refuses the trigger', async () => {
    const world = await open()
    const codec: Codec = {
      ...syncCodec,
      encode(value) {
        if (value === 'bad') throw new Error('cannot encrypt')
        return syncCodec.encode(value)
      },
    }
    const { jobs, durably } = await world.work(
      { job: job((step) => step.run('s', () => 'bad')) },
      { codec },
    )
    await expect(jobs.job.trigger('bad')).rejects.toThrow('Cannot store payload: cannot encrypt')
    const { id } = await jobs.job.trigger('good')
    await expect(durably.waitForRun(id)).rejects.toThrow('cannot encrypt')
  })

  test('a result that the codec cannot read fails its step, and nothing else', async () => {
    const world = await open()
    const codec: Codec = {
      encode: (value) => JSON.stringify(value),
      decode(text) {
        if (text.includes('unreadable')) throw new Error('no such key')
        return JSON.parse(text) as unknown
      },
    }
    const definition = job(async (step, payload) => {
      await step.run('a', () => (payload === 'bad' ? 'unreadable' : 'fine'))
      return 'read'
    })
    const { durably, jobs } = await world.work({ job: definition }, { codec })
    const bad = await jobs.job.trigger('bad')
    const good = await jobs.job.trigger('good')
    await expect(world.until(durably.waitForRun(bad.id))).rejects.toThrow(
      /^Cannot read the output of step "a"/,
    )
    expect(await world.until(durably.waitForRun(good.id))).toMatchObject({ output: 'read' })
  })

  test('a value of a codec that this process does not have fails what reads it, with a reason', async () => {
    const world = await open()
    const definition = job(async (step) => step.run('s', () => 1))
    const { jobs } = await world.work({ definition }, { codec: syncCodec })
    const { id } = await jobs.definition.triggerAndWait(null)
    const { durably } = await world.join({
      codec: {
        ...syncCodec,
        decode() {
          throw new Error('no key')
        },
      },
    })
    const failure: unknown = await durably.getRun(id).catch((error: unknown) => error)
    const { message, cause } = failure as Error
    expect([message, (cause as Error | undefined)?.message]).toContain('no key')
  })
})
