import { expect, test } from 'vitest'
import { job, onEveryBackend } from './world.ts'

/** A job whose runs end one by one, when told to; it notes who executes at once. */
function createTurnstile() {
  const executing: unknown[] = []
  const started: unknown[] = []
  const gates = new Map<unknown, () => void>()
  return {
    executing,
    started,
    finish: (payload: unknown) => gates.get(payload)?.(),
    definition: job(async (_, payload) => {
      started.push(payload)
      executing.push(payload)
      await new Promise<void>((done) => void gates.set(payload, done))
      executing.splice(executing.indexOf(payload), 1)
      return payload
    }),
  }
}

const key = { concurrencyKey: 'tenant' }
const slots = { maxConcurrentRuns: 10 }

onEveryBackend((open) => {
  test('runs with one key execute one at a time, first come first served, in two processes', async () => {
    const world = await open()
    const { definition, executing, started, finish } = createTurnstile()
    const here = await world.work({ job: definition }, slots)
    const there = await world.work({ job: definition }, slots)
    const payloads = [0, 1, 2, 3, 4, 5]
    const runs: string[] = []
    for (const payload of payloads) {
      const { id } = await (payload % 2 === 0 ? here : there).jobs.job.trigger(payload, key)
      runs.push(id)
    }
    for (const payload of payloads) {
      await world.advance(2000)
      expect(executing).toEqual([payload])
      finish(payload)
    }
    for (const id of runs) await world.until(here.durably.waitForRun(id))
    expect(started).toEqual(payloads)
  })

  test('other keys, and runs without one, are not held up', async () => {
    const world = await open()
    const { definition, executing } = createTurnstile()
    const { jobs } = await world.work({ job: definition }, slots)
    await jobs.job.trigger('a1', { concurrencyKey: 'a' })
    await jobs.job.trigger('a2', { concurrencyKey: 'a' })
    await jobs.job.trigger('b1', { concurrencyKey: 'b' })
    await jobs.job.trigger('free')
    await world.settle()
    expect(new Set(executing)).toEqual(new Set(['a1', 'b1', 'free']))
  })

  test('the key counts across jobs', async () => {
    const world = await open()
    const { definition, executing, finish } = createTurnstile()
    let others = 0
    const { jobs, durably } = await world.work(
      { job: definition, other: job(() => others++, 'other') },
      slots,
    )
    await jobs.job.trigger(1, key)
    const { id } = await jobs.other.trigger(null, key)
    await world.advance(5000)
    expect([executing, others]).toEqual([[1], 0])
    finish(1)
    await durably.waitForRun(id)
    expect(others).toBe(1)
  })

  test('the next run follows at once, without a poll', async () => {
    const world = await open()
    const { definition, executing, finish } = createTurnstile()
    const { jobs } = await world.work({ job: definition }, slots)
    for (const payload of [1, 2, 3]) await jobs.job.trigger(payload, key)
    await world.settle()
    const before = world.now()
    for (const payload of [1, 2, 3]) {
      expect(executing).toEqual([payload])
      finish(payload)
      await world.settle()
    }
    expect(world.now()).toBe(before)
  })

  test.each(['cancelled', 'failed'])('a run that is %s frees its key', async (end) => {
    const world = await open()
    const { jobs, durably } = await world.work(
      {
        job: job((_, payload) => {
          if (payload === 'failed') throw new Error('no')
          return payload === 'next' ? 'ran' : new Promise<string>(() => {})
        }),
      },
      slots,
    )
    const first = await jobs.job.trigger(end, key)
    const next = await jobs.job.trigger('next', key)
    await world.settle()
    if (end === 'cancelled') await durably.cancel(first.id)
    expect(await durably.waitForRun(next.id)).toMatchObject({ output: 'ran' })
  })

  test('the next run follows one that is cancelled at once, without a poll', async () => {
    const world = await open()
    const definition = job(async (step, payload) => {
      if (payload === 'first') await step.waitForSignal('never')
      return step.run('next', () => world.now())
    })
    const { jobs, durably } = await world.work({ job: definition }, { pollingInterval: '1h' })
    const first = await jobs.job.trigger('first', key)
    const next = await jobs.job.trigger('next', key)
    await world.advance(100)
    const at = world.now()
    await durably.cancel(first.id)
    expect(await world.until(durably.waitForRun(next.id))).toMatchObject({ output: at })
  })

  test('a dead worker keeps the key of its run until the run went on elsewhere', async () => {
    const world = await open()
    const { definition, executing, started, finish } = createTurnstile()
    const doomed = await world.work({ job: definition }, slots)
    await doomed.jobs.job.trigger('first', key)
    await world.settle()
    doomed.crash()
    executing.length = 0
    const { jobs, durably } = await world.work({ job: definition }, slots)
    const { id } = await jobs.job.trigger('second', key)
    await world.advance(20_000)
    expect(executing).toEqual([])
    await world.advance(15_000)
    expect(executing).toEqual(['first'])
    finish('first')
    await world.advance(2000)
    finish('second')
    await world.until(durably.waitForRun(id))
    expect(started).toEqual(['first', 'first', 'second'])
  })

  test('order is by due time, and a retried run keeps its place', async () => {
    const world = await open()
    const { durably } = await world.join()
    const { definition, started, finish } = createTurnstile()
    const { job: handle } = durably.register({ job: definition })
    const first = await handle.trigger('first', key)
    await world.advance(10)
    await handle.trigger('second', key)
    await handle.trigger('earliest', { ...key, runAt: new Date(world.now() - 1000) })
    await durably.cancel(first.id)
    await durably.retry(first.id)
    const worker = await world.work({ job: definition }, slots)
    for (const payload of ['earliest', 'first', 'second']) {
      await world.advance(1000)
      finish(payload)
    }
    await world.advance(1000)
    expect(started).toEqual(['earliest', 'first', 'second'])
    expect(await worker.durably.getRuns({ status: 'completed' })).toHaveLength(3)
  })

  test('a paused head blocks its key, as a head of an unknown job does', async () => {
    const world = await open()
    const client = await world.join()
    const handles = client.durably.register({
      paused: job(() => 1, 'paused'),
      next: job(() => 2, 'next'),
      unknown: job(() => 3, 'unknown'),
    })
    await client.durably.pauseJob('paused')
    await handles.paused.trigger(null, { concurrencyKey: 'a' })
    const behindPaused = await handles.next.trigger(null, { concurrencyKey: 'a' })
    await handles.unknown.trigger(null, { concurrencyKey: 'b' })
    const behindUnknown = await handles.next.trigger(null, { concurrencyKey: 'b' })
    const { durably } = await world.work({
      paused: job(() => 1, 'paused'),
      next: job(() => 2, 'next'),
    })
    await world.advance(60_000)
    expect(await durably.getRun(behindPaused.id)).toMatchObject({ status: 'pending' })
    expect(await durably.getRun(behindUnknown.id)).toMatchObject({ status: 'pending' })
    await durably.resumeJob('paused')
    expect(await world.until(durably.waitForRun(behindPaused.id))).toMatchObject({ output: 2 })
    await world.work({ unknown: job(() => 3, 'unknown') })
    expect(await world.until(durably.waitForRun(behindUnknown.id))).toMatchObject({ output: 2 })
  })
})
