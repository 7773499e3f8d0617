import { expect, test } from 'vitest'
import type { DurablyEvent } from '../../../src/core/event.ts'
import { isFact } from './audit.ts'
import { readAll } from './read-all.ts'
import { hold, unreachable } from './wire.ts'
import { job, onEveryBackend, type World } from './world.ts'

const factsOf = (events: readonly DurablyEvent[]): [string, number][] =>
  events.filter(isFact).map(({ type, sequence }) => [type, sequence])

const twoSteps = job(async (step) => {
  await step.run('one', () => 1)
  step.log.info('between')
  await step.run('two', () => 2)
  return 'done'
})

const story = [
  ['run:trigger', 1],
  ['run:start', 2],
  ['step:complete', 3],
  ['log:write', 4],
  ['step:complete', 5],
  ['run:complete', 6],
]

// What there is to read of such a run before it is finished: trigger, start and step one.
const FACTS = 3

/** A run that waits for `finish` between two steps, in a process of its own. */
async function startRun(world: World) {
  const { promise, resolve: finish } = Promise.withResolvers<void>()
  const worker = await world.work({
    job: job(async (step) => {
      await step.run('one', () => 1)
      await step.run('two', () => promise)
    }),
  })
  const { id } = await worker.jobs.job.trigger(null)
  await world.settle()
  return { ...worker, id, finish }
}

onEveryBackend((open) => {
  test('a run that ended is told from the beginning, and the stream ends', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ twoSteps })
    const { id } = await jobs.twoSteps.triggerAndWait(null)
    const events = await readAll(durably.subscribe(id))
    expect(factsOf(events)).toEqual(story)
    expect(events.at(-1)).toMatchObject({ type: 'run:complete', output: 'done', runId: id })
  })

  test('of large results few are read ahead of who does not take them', async () => {
    const world = await open()
    const large = 'x'.repeat(200_000)
    const outputs = job(async (step) => {
      for (let i = 0; i < 40; i++) await step.run(`output ${i}`, () => large)
    })
    const { jobs, durably, wire } = await world.work({ outputs })
    const { id } = await jobs.outputs.triggerAndWait(null)
    let read = 0
    wire.intercept(async (operation, proceed) => {
      const answer = await proceed()
      if (operation === 'journal') read = JSON.stringify(answer).length
      return answer
    })
    const reader = durably.subscribe(id).getReader()
    let told = 0
    let most = 0
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (isFact(next.value)) told++
      most = Math.max(most, read)
    }
    expect(told).toBe(43)
    expect(most).toBeLessThan(3_000_000)
    wire.intercept(null)
  })

  test('after a position only what follows is told', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ twoSteps })
    const { id } = await jobs.twoSteps.triggerAndWait(null)
    for (const after of [0, 3, 5]) {
      const events = await readAll(durably.subscribe(id, { after }))
      expect(factsOf(events)).toEqual(story.slice(after))
    }
    expect(await readAll(durably.subscribe(id, { after: 6 }))).toEqual([])
    expect(await readAll(durably.subscribe(id, { after: 1000 }))).toEqual([])
  })

  test('a run is followed while it executes, with its ticks', async () => {
    const world = await open()
    const { durably, id, finish } = await startRun(world)
    const following = readAll(durably.subscribe(id))
    await world.settle()
    finish()
    const events = await following
    expect(factsOf(events).map(([type]) => type)).toEqual([
      'run:trigger',
      'run:start',
      'step:complete',
      'step:complete',
      'run:complete',
    ])
    const sequences = events.map(({ sequence }) => sequence)
    expect(sequences).toEqual(sequences.toSorted((a, b) => a - b))
  })

  test('a subscription that begins with the trigger sees when steps start', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({ twoSteps })
    const { id } = await jobs.twoSteps.trigger(null)
    const events = await readAll(durably.subscribe(id))
    expect(factsOf(events)).toEqual(story)
    const starts = events.filter(({ type }) => type === 'step:start')
    expect(starts.length).toBeLessThanOrEqual(2)
  })

  test('a run is followed from another process, gap-free and in order', async () => {
    const world = await open()
    const { id, finish } = await startRun(world)
    const { durably } = await world.join()
    const following = readAll(durably.subscribe(id))
    await world.advance(2000)
    finish()
    const events = await world.until(following)
    expect(factsOf(events).map(([, sequence]) => sequence)).toEqual([1, 2, 3, 4, 5])
    expect(events.at(-1)?.type).toBe('run:complete')
  })

  test('progress of another process is told, the last value surely', async () => {
    const world = await open()
    const finish = Promise.withResolvers<void>()
    const { jobs } = await world.work({
      job: job(async (step) => {
        step.progress(1, 2)
        await finish.promise
        step.progress(2, 2)
      }),
    })
    const { id } = await jobs.job.trigger(null)
    const { durably } = await world.join()
    const following = readAll(durably.subscribe(id))
    await world.advance(2000)
    finish.resolve()
    const events = await world.until(following)
    const steps = events.filter((event) => event.type === 'run:progress')
    expect(steps.map(({ progress }) => progress.current)).toEqual([1, 2])
    expect(events.at(-1)?.type).toBe('run:complete')
  })

  test('progress is told on when the run has moved to another process', async () => {
    const world = await open()
    const half = job(async (step) => {
      step.progress(1, 2)
      await step.sleep('between', '1m')
      step.progress(2, 2)
      await step.sleep('before the end', '1m')
    })
    const first = await world.work({ half })
    const { id } = await first.jobs.half.trigger(null)
    const following = readAll(first.durably.subscribe(id))
    await world.advance(1000)
    await first.durably.stop()
    await world.work({ half })
    await world.advance(300_000)
    const events = await world.until(following)
    const told = events.flatMap((event) =>
      event.type === 'run:progress' ? [event.progress.current] : [],
    )
    expect(told).toEqual([1, 2])
  })

  test('who asks for what follows a place that the run has not come to yet hears no ticks from before it', async () => {
    const world = await open()
    const long = job(async (step) => {
      for (let i = 1; i <= 10; i++) {
        await step.run(`step ${i}`, () => step.progress(i, 10))
        if (i === 2) await step.sleep('between', '1m')
        if (i === 9) await step.sleep('before the end', '1m')
      }
    })
    const first = await world.work({ long })
    const { id } = await first.jobs.long.trigger(null, { delay: '1s' })
    const following = readAll(first.durably.subscribe(id, { after: 12 }))
    await world.advance(2000)
    await first.durably.stop()
    await world.work({ long })
    await world.advance(300_000)
    const events = await world.until(following)
    expect(events.filter(({ type }) => type === 'step:start')).toEqual([])
    const told = events.flatMap((event) =>
      event.type === 'run:progress' ? [event.progress.current] : [],
    )
    expect(told.at(-1)).toBe(10)
    expect(factsOf(events)[0]?.[1]).toBe(13)
  })

  test('the progress of a run that has ended is told before its end, after all else', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        step.progress(1, 2)
        await step.run('one', () => 1)
        step.progress(2, 2)
      }),
    })
    const { id } = await world.until(jobs.job.triggerAndWait(null))
    const events = await world.until(readAll(durably.subscribe(id)))
    expect(events.map(({ type, sequence }) => [type, sequence])).toEqual([
      ['run:trigger', 1],
      ['run:start', 2],
      ['step:complete', 3],
      ['run:progress', 3],
      ['run:complete', 4],
    ])
  })

  test('a failed run that is retried goes on in a later subscription, not beyond its end in the first', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(({ attempt }) => {
        if (attempt === 1) throw new Error('no')
      }),
    })
    const { id } = await jobs.job.trigger(null)
    const first = await readAll(durably.subscribe(id))
    expect(factsOf(first).at(-1)).toEqual(['run:fail', 3])
    await durably.retry(id)
    const second = await readAll(durably.subscribe(id, { after: 3 }))
    expect(factsOf(second)).toEqual([
      ['run:retry', 4],
      ['run:start', 5],
      ['run:complete', 6],
    ])
    expect(factsOf(await readAll(durably.subscribe(id)))).toHaveLength(6)
  })

  test('a run that is deleted before its end was read ends with run:delete', async () => {
    const world = await open()
    const { durably, id, finish } = await startRun(world)
    const reading = await world.join()
    const reader = reading.durably.subscribe(id).getReader()
    expect((await reader.read()).value).toMatchObject({ type: 'run:trigger' })
    await world.settle()
    const { intercept, open: letGo } = hold((operation) => operation === 'journal')
    reading.wire.intercept(intercept)
    finish()
    await durably.waitForRun(id)
    await durably.deleteRun(id)
    letGo()
    const rest: DurablyEvent[] = []
    const toTheEnd = async (): Promise<void> => {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        rest.push(next.value)
      }
    }
    await world.until(toTheEnd())
    expect(rest.at(-1)).toMatchObject({ type: 'run:delete', runId: id, jobName: 'job' })
  })

  test('an unknown run errors with NotFoundError', async () => {
    const world = await open()
    const { durably } = await world.join()
    const failure = readAll(durably.subscribe('nobody'))
    await expect(failure).rejects.toMatchObject({
      name: 'NotFoundError',
      message: 'Run not found: nobody',
    })
  })

  test('a reader that goes away leaves nothing behind', async () => {
    const world = await open()
    const { durably, env, id, wire } = await startRun(world)
    const timers = env.timers()
    const readers = Array.from({ length: 20 }, () => durably.subscribe(id).getReader())
    for (const reader of readers) for (let read = 0; read < FACTS; read++) await reader.read()
    await world.settle()
    expect(env.timers()).toBe(timers + readers.length)
    for (const reader of readers) await reader.cancel()
    await world.settle()
    expect(env.timers()).toBe(timers)
    const reads = wire.calls.get('journal') ?? 0
    await world.advance(10_000)
    expect(wire.calls.get('journal') ?? 0).toBe(reads)
  })

  test('a slow reader misses nothing and holds nobody up', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        for (let i = 0; i < 40; i++) await step.run(`step ${i}`, () => i)
      }),
    })
    const { id } = await jobs.job.trigger(null)
    const reader = durably.subscribe(id).getReader()
    const first = await reader.read()
    await durably.waitForRun(id)
    const events = first.done ? [] : [first.value]
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      events.push(next.value)
    }
    expect(factsOf(events).map(([, sequence]) => sequence)).toEqual(
      Array.from({ length: 43 }, (_, i) => i + 1),
    )
  })

  test('a database that is away for a while delays a subscription, no more', async () => {
    const world = await open()
    const { jobs } = await world.work({ twoSteps })
    const { id } = await jobs.twoSteps.triggerAndWait(null)
    const reading = await world.join()
    reading.wire.intercept(unreachable('journal'))
    const following = readAll(reading.durably.subscribe(id))
    await world.advance(5000)
    const errors = reading.takeErrors()
    expect(new Set(errors.map(({ context }) => context))).toEqual(new Set([`following run ${id}`]))
    expect(errors.length).toBeLessThan(10)
    reading.wire.intercept(null)
    expect(factsOf(await world.until(following))).toEqual(story)
  })

  test.each([
    ['a negative position', -1],
    ['half a position', 1.5],
    ['no number', 'x' as unknown as number],
  ])('%s is refused', async (_, after) => {
    const world = await open()
    const { durably } = await world.join()
    expect(() => durably.subscribe('run', { after })).toThrow(/^after must be a whole number/)
  })
})
