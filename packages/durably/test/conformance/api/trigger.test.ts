import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ValidationError } from '../../../src/core/error.ts'
import { defineJob } from '../../../src/core/job.ts'
import { job, onEveryBackend, testAtScale } from './world.ts'

const echo = job((_, payload) => payload, 'echo')

onEveryBackend((open) => {
  test('a trigger gives the run as it is stored', async () => {
    const world = await open()
    const { durably } = await world.join()
    const { echo: handle } = durably.register({ echo })
    const options = {
      idempotencyKey: 'i',
      concurrencyKey: 'c',
      labels: { a: 'b' },
      priority: 7,
    }
    const { disposition, ...run } = await handle.trigger({ x: 1 }, options)
    const now = new Date(world.now()).toISOString()
    expect(disposition).toBe('created')
    expect(run).toEqual({
      id: expect.any(String) as string,
      jobName: 'echo',
      payload: { x: 1 },
      status: 'pending',
      output: null,
      error: null,
      errorDetail: null,
      progress: null,
      ...options,
      attempt: 1,
      parentRunId: null,
      waitingFor: null,
      createdAt: now,
      updatedAt: now,
      startedAt: null,
      completedAt: null,
    })
    expect(await durably.getRun(run.id)).toEqual(run)
  })

  describe('an idempotency key', () => {
    test('gives the run it had, whatever its status, and announces nothing', async () => {
      const world = await open()
      const { jobs, durably, events } = await world.work({ echo })
      const options = { idempotencyKey: 'once' }
      const { id } = await jobs.echo.trigger('first', options)
      await durably.waitForRun(id)
      const before = events.length
      const hit = await jobs.echo.trigger('second', options)
      expect(hit).toMatchObject({
        id,
        disposition: 'idempotent',
        payload: 'first',
        output: 'first',
      })
      expect(events).toHaveLength(before)
      expect(await jobs.echo.triggerAndWait('third', options)).toEqual({
        id,
        output: 'first',
        disposition: 'idempotent',
      })
    })

    test('belongs to its job', async () => {
      const world = await open()
      const { durably } = await world.join()
      const handles = durably.register({ echo, other: job(() => 1, 'other') })
      const { id } = await handles.echo.trigger(1, { idempotencyKey: 'k' })
      const other = await handles.other.trigger(1, { idempotencyKey: 'k' })
      expect(other).toMatchObject({ disposition: 'created' })
      expect(other.id).not.toBe(id)
    })

    test('gives one run to many who trigger at once, in several processes', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { echo: here } = durably.register({ echo })
      const { echo: there } = (await world.join()).durably.register({ echo })
      const answers = await world.until(
        Promise.all(
          Array.from({ length: 8 }, (_, i) =>
            (i % 2 === 0 ? here : there).trigger(i, { idempotencyKey: 'same' }),
          ),
        ),
      )
      expect(new Set(answers.map(({ id }) => id)).size).toBe(1)
      expect(answers.filter(({ disposition }) => disposition === 'created')).toHaveLength(1)
      expect(await durably.getRuns()).toHaveLength(1)
    })

    test('twice in one batch gives one run twice', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { echo: handle } = durably.register({ echo })
      const options = { idempotencyKey: 'k' }
      const runs = await handle.batchTrigger([
        { input: 1, options },
        { input: 2 },
        { input: 3, options },
      ])
      expect(runs.map(({ disposition }) => disposition)).toEqual([
        'created',
        'created',
        'idempotent',
      ])
      expect(runs[2]?.id).toBe(runs[0]?.id)
      expect(runs[2]?.payload).toBe(1)
    })
  })

  describe('batchTrigger', () => {
    testAtScale('stores 10,000 runs at once, in order', async () => {
      const world = await open()
      const { durably, wire } = await world.join()
      const { echo: handle } = durably.register({ echo })
      const inputs = Array.from({ length: 10_000 }, (_, i) => i)
      const runs = await handle.batchTrigger(inputs)
      expect(runs.map(({ payload }) => payload)).toEqual(inputs)
      expect(wire.calls.get('write')).toBe(1)
      const newest = await durably.getRuns({ limit: 3 })
      expect(newest.map(({ payload }) => payload)).toEqual([9999, 9998, 9997])
    })

    test('of nothing does nothing', async () => {
      const world = await open()
      const { durably, wire } = await world.join()
      expect(await durably.register({ echo }).echo.batchTrigger([])).toEqual([])
      expect(wire.calls.get('write')).toBeUndefined()
    })

    test('tells payloads with an input field from items with options', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { prompt } = durably.register({
        prompt: defineJob({
          name: 'prompt',
          input: z.object({ input: z.string(), model: z.string().optional() }),
          run: () => {},
        }),
      })
      const options = { labels: { a: 'b' } }
      const runs = await prompt.batchTrigger([
        { input: 'bare' },
        { input: 'more', model: 'm' },
        { input: { input: 'wrapped' } },
        { input: { input: 'wrapped too' }, options },
      ])
      expect(runs.map(({ payload, labels }) => ({ ...payload, ...labels }))).toEqual([
        { input: 'bare' },
        { input: 'more', model: 'm' },
        { input: 'wrapped' },
        { input: 'wrapped too', a: 'b' },
      ])
    })

    test('refuses what is no list', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { echo: handle } = durably.register({ echo })
      await expect(handle.batchTrigger('items' as never)).rejects.toThrow(
        new ValidationError('batchTrigger needs an array of inputs'),
      )
    })
  })

  const long = 'x'.repeat(513)
  const bad: [name: string, options: object, message: RegExp][] = [
    ['an unknown option', { priorty: 1 }, /^unknown option "priorty"; the options are /],
    ['an empty idempotency key', { idempotencyKey: '' }, /^idempotencyKey must not be empty/],
    [
      'NUL in an idempotency key',
      { idempotencyKey: 'a\0' },
      /^idempotencyKey must not contain NUL/,
    ],
    ['a long concurrency key', { concurrencyKey: long }, /^concurrencyKey must be at most 512/],
    ['NUL in a concurrency key', { concurrencyKey: '\0' }, /^concurrencyKey must not contain NUL/],
    ['a number as a key', { idempotencyKey: 5 }, /^idempotencyKey must be a string; got 5/],
    ['a priority over 100', { priority: 101 }, /^priority must be a whole number from -100 to 100/],
    ['half a priority', { priority: 0.5 }, /^priority must be a whole number/],
    ['a negative delay', { delay: -1 }, /^delay must be a duration.*got -1$/],
    ['a delay without unit', { delay: '10' }, /^delay must be a duration.*got '10'$/],
    [
      'a delay and a time',
      { delay: 1, runAt: new Date() },
      /^give either delay or runAt, not both/,
    ],
    ['a time that is none', { runAt: new Date(Number.NaN) }, /^runAt must be a valid Date/],
    ['a bad ttl', { ttl: 'soon' }, /^ttl must be a duration/],
    ['labels that are no strings', { labels: { a: 1 } }, /^label "a" must be a string; got 1/],
    ['NUL in a label', { labels: { a: '\0' } }, /^label "a" must not contain NUL/],
    ['NUL in the name of a label', { labels: { '\0': 'a' } }, /^label name must not contain NUL/],
    ['a list as labels', { labels: ['a'] }, /^labels must be an object/],
    ['coalesce without a key', { coalesce: 'skip' }, /^coalesce needs a concurrencyKey/],
    ['another coalesce', { coalesce: 'last', concurrencyKey: 'k' }, /^coalesce must be 'skip'/],
  ]

  test.each(bad)(
    '%s is refused by name, in a batch with its place',
    async (_, options, message) => {
      const world = await open()
      const { durably } = await world.join()
      const { echo: handle } = durably.register({ echo })
      const refusal = handle.trigger(1, options)
      await expect(refusal).rejects.toThrow(message)
      await expect(refusal).rejects.toBeInstanceOf(ValidationError)
      const batch = [1, { input: 2, options }]
      const inBatch: unknown = await handle.batchTrigger(batch).catch((error: unknown) => error)
      const { message: text } = inBatch as Error
      expect(text).toMatch(/^at index 1: /)
      expect(await durably.getRuns()).toEqual([])
    },
  )

  test('labels are what their schema makes of them', async () => {
    const world = await open()
    const labels = z.object({
      tenant: z.string().trim(),
      plan: z.enum(['free', 'pro']).default('free'),
    })
    const { durably } = await world.join({ labels })
    const { echo: handle } = durably.register({ echo })
    const { id } = await handle.trigger(1, { labels: { tenant: ' acme ' } })
    expect(await durably.getRun(id)).toMatchObject({ labels: { tenant: 'acme', plan: 'free' } })
    await expect(handle.trigger(1)).rejects.toThrow(/^Invalid labels: tenant: /)
    const bad = { tenant: 'a', plan: 'gold' }
    await expect(handle.trigger(1, { labels: bad })).rejects.toThrow(/^Invalid labels: plan: /)
  })

  test('a handle reads the runs of its own job only', async () => {
    const world = await open()
    const { durably } = await world.join()
    const handles = durably.register({ echo, other: job(() => 1, 'other') })
    const { id } = await handles.echo.trigger(1)
    expect(await handles.echo.getRun(id)).toMatchObject({ id })
    expect(await handles.other.getRun(id)).toBeNull()
    expect(await handles.echo.getRun('nobody')).toBeNull()
    expect(await handles.echo.getRuns({ status: 'pending' })).toHaveLength(1)
    expect(await handles.other.getRuns()).toEqual([])
  })
})
