import { describe, expect, test } from 'vitest'
import type { Batch } from '../../../src/store/store.ts'
import { hold } from './wire.ts'
import { job, onEveryBackend, testAtScale } from './world.ts'

/** A job that notes the payloads it was given, in their order. */
function createNoting(name = 'noting') {
  const order: unknown[] = []
  return { order, definition: job((_, payload) => void order.push(payload), name) }
}

onEveryBackend((open) => {
  describe('order', () => {
    test('is by priority, then by due time, then by id', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { order, definition } = createNoting()
      const { noting } = durably.register({ noting: definition })
      await noting.trigger('late', { runAt: new Date(world.now() + 20) })
      await noting.trigger('early', { runAt: new Date(world.now() + 10) })
      await noting.batchTrigger(['first', 'second', 'third'])
      await noting.trigger('low', { priority: -100 })
      await noting.trigger('high', { priority: 100 })
      await noting.trigger('higher than most', { priority: 1 })
      await world.advance(50)
      durably.start()
      await world.advance(1000)
      const plain = ['first', 'second', 'third', 'early', 'late']
      expect(order).toEqual(['high', 'higher than most', ...plain, 'low'])
    })

    testAtScale('of triggers within one millisecond is the order of the triggers', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { order, definition } = createNoting()
      const { noting } = durably.register({ noting: definition })
      const payloads = Array.from({ length: 100 }, (_, i) => i)
      for (const payload of payloads) await noting.trigger(payload)
      durably.start()
      await world.advance(1000)
      expect(order).toEqual(payloads)
    })
  })

  describe('due times', () => {
    test('a delayed run starts when it is due, though its worker had just looked when it came', async () => {
      const world = await open()
      const { order, definition } = createNoting()
      const worker = await world.work({ noting: definition }, { pollingInterval: '1m' })
      const look = hold((operation) => operation === 'look', 'after')
      worker.wire.intercept(look.intercept)
      await world.until(look.reached)
      await world.until(worker.jobs.noting.trigger('x', { delay: '2s' }))
      look.open()
      await world.advance(2100)
      expect(order).toEqual(['x'])
    })

    test('the same, though it was due before its trigger was answered', async () => {
      const world = await open()
      const { order, definition } = createNoting()
      const worker = await world.work({ noting: definition }, { pollingInterval: '1m' })
      await world.advance(100)
      const write = hold((operation) => operation === 'write', 'after')
      worker.wire.intercept(write.intercept)
      const triggered = worker.jobs.noting.trigger('x', { delay: 20 })
      await world.advance(50)
      write.open()
      await world.until(triggered)
      await world.advance(50)
      expect(order).toEqual(['x'])
    })

    test('the same, though it looked before the trigger was written', async () => {
      const world = await open()
      const { order, definition } = createNoting()
      const worker = await world.work({ noting: definition }, { pollingInterval: '4s' })
      await world.advance(100)
      const hasRuns = (request: unknown): boolean => (request as Batch).runs.length > 0
      const write = hold((operation, request) => operation === 'write' && hasRuns(request))
      worker.wire.intercept(write.intercept)
      const triggered = worker.jobs.noting.trigger('x', { delay: '5s' })
      await world.advance(4500)
      write.open()
      await world.until(triggered)
      await world.advance(600)
      expect(order).toEqual(['x'])
    })

    test('a delayed run starts when it is due, not before, and without a poll between', async () => {
      const world = await open()
      const { order, definition } = createNoting()
      const { jobs, durably } = await world.work({ noting: definition }, { pollingInterval: '1h' })
      await world.settle()
      const at = world.now()
      const { id } = await jobs.noting.trigger('x', { delay: '90s' })
      await world.advance(89_999)
      expect(order).toEqual([])
      const run = await world.until(durably.waitForRun(id))
      expect(Date.parse(run.startedAt ?? '') - at - 90_000).toBeLessThanOrEqual(5)
    })

    test('parts of a millisecond are rounded up', async () => {
      const world = await open()
      const { durably } = await world.join({ staleThreshold: 10_000.4 })
      const { noting } = durably.register({ noting: createNoting().definition })
      const { id } = await noting.trigger('x', { delay: 0.5, ttl: 1000.5 })
      durably.start()
      expect(await world.until(durably.waitForRun(id))).toMatchObject({ status: 'completed' })
    })

    test('runAt in the past means now', async () => {
      const world = await open()
      const { definition } = createNoting()
      const { jobs } = await world.work({ noting: definition })
      const before = world.now()
      await jobs.noting.triggerAndWait('x', { runAt: new Date(0) })
      expect(world.now()).toBe(before)
    })

    test('a worker that starts later finds what became due before', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { order, definition } = createNoting()
      const { noting } = durably.register({ noting: definition })
      await noting.trigger('x', { delay: 500 })
      await world.advance(10_000)
      await world.work({ noting: definition })
      await world.advance(5)
      expect(order).toEqual(['x'])
    })

    test('a due time beyond what a timer can count does not make the worker spin', async () => {
      const world = await open()
      const { definition } = createNoting()
      const { jobs, wire } = await world.work({ noting: definition })
      await jobs.noting.trigger('x', { delay: '40d' })
      await world.advance(1)
      const before = wire.calls.get('look') ?? 0
      await world.advance(10_000)
      expect((wire.calls.get('look') ?? 0) - before).toBeLessThanOrEqual(11)
    })
  })

  describe('ttl', () => {
    test('cancels a run that did not start in time', async () => {
      const world = await open()
      const { jobs, durably, events } = await world.work({
        hog: job(() => new Promise(() => {}), 'hog'),
        noting: createNoting().definition,
      })
      await jobs.hog.trigger(null)
      const { id } = await jobs.noting.trigger('x', { ttl: '5s' })
      await world.advance(7000)
      expect(await durably.getRun(id)).toMatchObject({ status: 'cancelled', startedAt: null })
      expect(events.at(-1)).toMatchObject({ type: 'run:cancel', runId: id, reason: 'ttl' })
    })

    test('is over once the run has started', async () => {
      const world = await open()
      const finish = Promise.withResolvers<void>()
      const { jobs, durably } = await world.work({ job: job(() => finish.promise) })
      const { id } = await jobs.job.trigger(null, { ttl: '1s' })
      await world.advance(5000)
      finish.resolve()
      expect(await durably.waitForRun(id)).toMatchObject({ status: 'completed' })
    })

    test('that ran out while nobody worked is noticed before the run could start', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { order, definition } = createNoting()
      const { noting } = durably.register({ noting: definition })
      const { id } = await noting.trigger('x', { ttl: '1s' })
      await world.advance(2000)
      durably.start()
      await world.advance(1000)
      expect(order).toEqual([])
      expect(await durably.getRun(id)).toMatchObject({ status: 'cancelled' })
    })
  })

  describe('coalesce', () => {
    const options = { concurrencyKey: 'tenant', coalesce: 'skip' } as const

    test('returns the pending run with the same key instead of a new one', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { noting } = durably.register({ noting: createNoting().definition })
      const first = await noting.trigger(1, options)
      const second = await noting.trigger(2, options)
      expect(second).toMatchObject({ id: first.id, disposition: 'coalesced', payload: 1 })
      const other = await noting.trigger(3, { ...options, concurrencyKey: 'another' })
      expect(other).toMatchObject({ disposition: 'created' })
    })

    test('looks at runs of the same job that never started only', async () => {
      const world = await open()
      const started = Promise.withResolvers<void>()
      const { jobs, durably } = await world.work({
        job: job(() => {
          started.resolve()
          return new Promise(() => {})
        }),
        other: createNoting('other').definition,
      })
      const running = await jobs.job.trigger(1, options)
      await started.promise
      const waiting = await jobs.job.trigger(2, options)
      expect(waiting).toMatchObject({ disposition: 'created' })
      expect(await jobs.job.trigger(3, options)).toMatchObject({ id: waiting.id })
      expect(await jobs.other.trigger(4, options)).toMatchObject({ disposition: 'created' })
      await durably.cancel(running.id)
      await durably.retry(running.id)
      await durably.cancel(waiting.id)
      expect(await jobs.job.trigger(5, options)).toMatchObject({ disposition: 'created' })
    })
  })

  describe('a paused job', () => {
    test('is not claimed by anyone until it is resumed', async () => {
      const world = await open()
      const { order, definition } = createNoting()
      const other = createNoting('other')
      const { jobs, durably } = await world.work({ noting: definition, other: other.definition })
      const client = await world.join()
      await client.durably.pauseJob('noting')
      await jobs.noting.trigger(1)
      await world.work({ noting: definition })
      await world.advance(10_000)
      expect(order).toEqual([])
      await jobs.other.triggerAndWait('goes on')
      const before = world.now()
      await durably.resumeJob('noting')
      await world.settle()
      expect(order).toEqual([1])
      expect(world.now()).toBe(before)
    })

    test('finishes what it executes', async () => {
      const world = await open()
      const finish = Promise.withResolvers<string>()
      const { jobs, durably } = await world.work({
        job: job((step) => step.run('s', () => finish.promise)),
      })
      const { id } = await jobs.job.trigger(null)
      await world.settle()
      await durably.pauseJob('job')
      finish.resolve('done')
      expect(await durably.waitForRun(id)).toMatchObject({ output: 'done' })
    })

    test('costs an idle worker no more than a poll', async () => {
      const world = await open()
      const { jobs, durably, wire } = await world.work({ noting: createNoting().definition })
      await durably.pauseJob('noting')
      await jobs.noting.batchTrigger([1, 2, 3])
      await world.advance(1)
      const before = Object.fromEntries(wire.calls)
      await world.advance(10_000)
      expect((wire.calls.get('look') ?? 0) - (before.look ?? 0)).toBeLessThanOrEqual(11)
      expect((wire.calls.get('write') ?? 0) - (before.write ?? 0)).toBe(0)
    })

    test('has a name', async () => {
      const world = await open()
      const { durably } = await world.join()
      await expect(durably.pauseJob('')).rejects.toThrow('jobName must not be empty')
      await expect(durably.resumeJob('')).rejects.toThrow('jobName must not be empty')
    })
  })

  test('a run of an unknown job is left alone, not failed and not spun on', async () => {
    const world = await open()
    const { order, definition } = createNoting()
    const { wire } = await world.work({ known: createNoting('known').definition })
    const client = await world.join()
    const { noting } = client.durably.register({ noting: definition })
    const runs = await noting.batchTrigger([1, 2, 3])
    // By now the worker has heard that something was committed.
    await world.advance(100)
    const before = Object.fromEntries(wire.calls)
    await world.advance(60_000)
    expect((wire.calls.get('look') ?? 0) - (before.look ?? 0)).toBeLessThanOrEqual(61)
    expect((wire.calls.get('write') ?? 0) - (before.write ?? 0)).toBe(0)
    const statuses = (await client.durably.getRuns()).map(({ status }) => status)
    expect(statuses).toEqual(['pending', 'pending', 'pending'])
    await world.work({ noting: definition })
    for (const { id } of runs) await world.until(client.durably.waitForRun(id))
    expect(order).toEqual([1, 2, 3])
  })

  test.each([1, 3])('a worker with %i slots uses them all and no more', async (slots) => {
    const world = await open()
    let now = 0
    let most = 0
    const gates: (() => void)[] = []
    const { jobs, durably } = await world.work(
      {
        job: job(async () => {
          most = Math.max(most, ++now)
          await new Promise<void>((done) => void gates.push(done))
          now--
        }),
      },
      { maxConcurrentRuns: slots },
    )
    const runs = await jobs.job.batchTrigger([1, 2, 3, 4, 5, 6, 7])
    for (let i = 0; i < runs.length; i++) {
      await world.settle()
      expect(now).toBe(Math.min(slots, runs.length - i))
      gates.shift()?.()
    }
    for (const { id } of runs) await durably.waitForRun(id)
    expect(most).toBe(slots)
  })

  test('two workers share the runs, and none is executed twice', async () => {
    const world = await open()
    const { order, definition } = createNoting()
    const workers = [
      await world.work({ noting: definition }, { maxConcurrentRuns: 5 }),
      await world.work({ noting: definition }, { maxConcurrentRuns: 5 }),
    ]
    const payloads = Array.from({ length: 60 }, (_, i) => i)
    const runs = await workers[0]?.jobs.noting.batchTrigger(payloads)
    for (const { id } of runs ?? [])
      await world.until(workers[1]?.durably.waitForRun(id) ?? Promise.reject())
    expect((order as number[]).toSorted((a, b) => a - b)).toEqual(payloads)
  })
})
