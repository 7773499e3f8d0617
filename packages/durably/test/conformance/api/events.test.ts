import { expect, test } from 'vitest'
import type { DurablyEvent } from '../../../src/core/event.ts'
import { hold } from './wire.ts'
import { job, onEveryBackend, START } from './world.ts'

const typesOf = (events: readonly DurablyEvent[]): string[] => events.map(({ type }) => type)

onEveryBackend((open) => {
  test('a run that completes tells its whole story', async () => {
    const world = await open()
    const { jobs, events } = await world.work({
      story: job(async (step, payload) => {
        step.progress(1, 2, 'half')
        await step.run('good', (_, { log }) => {
          log.warn('careful', { n: 1n })
          return [payload]
        })
        await step.run('bad', () => Promise.reject(new TypeError('no'))).catch(() => {})
        return { done: true }
      }, 'story'),
    })
    const labels = { tenant: 'acme' }
    const { id: runId } = await jobs.story.triggerAndWait('in', { labels })
    const common = { runId, jobName: 'story', labels, timestamp: new Date(START).toISOString() }
    const good = { ...common, stepName: 'good', stepIndex: 0 }
    const bad = { ...common, stepName: 'bad', stepIndex: 1 }
    const errorDetail = expect.objectContaining({ name: 'TypeError', step: 'bad' }) as unknown
    expect(events).toEqual([
      { type: 'run:trigger', sequence: 1, ...common, payload: 'in' },
      { type: 'run:start', sequence: 2, ...common, payload: 'in', attempt: 1 },
      {
        type: 'run:progress',
        sequence: 2,
        ...common,
        progress: { current: 1, total: 2, message: 'half' },
      },
      { type: 'step:start', sequence: 2, ...good },
      {
        type: 'log:write',
        sequence: 3,
        ...common,
        stepName: 'good',
        level: 'warn',
        message: 'careful',
        data: { n: 1n },
      },
      { type: 'step:complete', sequence: 4, ...good, output: ['in'], duration: 0 },
      { type: 'step:start', sequence: 4, ...bad },
      { type: 'step:fail', sequence: 5, ...bad, error: 'no', errorDetail, duration: 0 },
      { type: 'run:complete', sequence: 6, ...common, output: { done: true }, duration: 0 },
    ])
  })

  test('a run that fails, is retried, cancelled and deleted says each', async () => {
    const world = await open()
    const executing = Promise.withResolvers<void>()
    const { jobs, durably, events } = await world.work({
      job: job((step) => {
        if (step.attempt === 1) throw new Error('first')
        executing.resolve()
        return step.run('waits', () => new Promise(() => {}))
      }),
    })
    const { id: runId } = await jobs.job.trigger(null)
    await durably.waitForRun(runId).catch(() => {})
    await durably.retry(runId)
    await executing.promise
    await durably.cancel(runId)
    await durably.deleteRun(runId)
    const story = events.filter(({ type }) => type !== 'step:start')
    expect(story).toMatchObject([
      { type: 'run:trigger', sequence: 1 },
      { type: 'run:start', sequence: 2, attempt: 1 },
      { type: 'run:fail', sequence: 3, error: 'first', failedStepName: null, duration: 0 },
      { type: 'run:retry', sequence: 4, attempt: 2 },
      { type: 'run:start', sequence: 5, attempt: 2 },
      { type: 'run:cancel', sequence: 6, reason: 'cancel' },
      { type: 'run:delete', sequence: 7, runId, jobName: 'job', labels: {} },
    ])
  })

  test('a coalesced trigger and an expired run are told', async () => {
    const world = await open()
    const { durably, events } = await world.join()
    const { later } = durably.register({ later: job(() => 1, 'later') })
    const options = { concurrencyKey: 'k', coalesce: 'skip', delay: '1h', ttl: '2s' } as const
    await later.trigger(1, options)
    await later.trigger(2, options)
    durably.start()
    await world.advance(3000)
    expect(events).toMatchObject([
      { type: 'run:trigger', sequence: 1, payload: 1 },
      { type: 'run:coalesced', sequence: 2 },
      { type: 'run:cancel', sequence: 3, reason: 'ttl' },
    ])
  })

  test('nothing is announced before it is committed', async () => {
    const world = await open()
    const { jobs, wire, events } = await world.work({
      job: job((step) => step.run('step', () => 1)),
    })
    let heldBack = 0
    wire.intercept(async (operation, proceed) => {
      const before = typesOf(events)
      const answer = await proceed()
      if (operation === 'write') {
        expect(typesOf(events)).toEqual(before)
        heldBack++
      }
      return answer
    })
    await jobs.job.triggerAndWait(null)
    expect(heldBack).toBeGreaterThanOrEqual(3)
  })

  test('a trigger whose write is not answered is not announced', async () => {
    const world = await open()
    const { durably, wire, events } = await world.join()
    const { lonely } = durably.register({ lonely: job(() => 1) })
    const { intercept, reached, open: letGo } = hold((operation) => operation === 'write', 'after')
    wire.intercept(intercept)
    const triggered = lonely.trigger(null)
    await reached
    expect(events).toEqual([])
    letGo()
    await triggered
    expect(typesOf(events)).toEqual(['run:trigger'])
  })

  test('listeners that throw or reject harm nothing, and onError sees what they threw', async () => {
    const world = await open()
    const { durably, jobs, events } = await world.work({
      job: job((step) => step.run('s', () => 1)),
    })
    const seen: unknown[] = []
    durably.onError((error) => {
      seen.push(error)
      throw new Error('the handler of errors fails too')
    })
    durably.on('run:start', () => {
      throw new Error('thrown')
    })
    durably.on('step:complete', () => Promise.reject(new Error('rejected')))
    let later = 0
    durably.on('run:start', () => void later++)
    expect(await jobs.job.triggerAndWait(null)).toMatchObject({ output: 1 })
    await world.settle()
    expect(seen).toEqual([new Error('thrown'), new Error('rejected')])
    expect(later).toBe(1)
    expect(typesOf(events)).toContain('run:complete')
  })

  test('a listener hears until it is taken back, and twice if it was added twice', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({ job: job(() => 1) })
    let heard = 0
    const listener = (): void => void heard++
    const [stopOne, stopOther] = [
      durably.on('run:start', listener),
      durably.on('run:start', listener),
    ]
    await jobs.job.triggerAndWait(null)
    expect(heard).toBe(2)
    stopOne()
    stopOne()
    await jobs.job.triggerAndWait(null)
    expect(heard).toBe(3)
    stopOther()
    await jobs.job.triggerAndWait(null)
    expect(heard).toBe(3)
  })

  test('a listener that listens anew hears what comes next, and one that is taken back nothing', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({ job: job(() => 1) })
    let heard = 0
    const again = (): void => {
      heard++
      stop()
      stop = durably.on('run:start', again)
      stopOther()
    }
    let stop = durably.on('run:start', again)
    const stopOther = durably.on('run:start', () => expect.unreachable('it was taken back'))
    await jobs.job.triggerAndWait(null)
    expect(heard).toBe(1)
    await jobs.job.triggerAndWait(null)
    expect(heard).toBe(2)
  })

  test('a listener may trigger, cancel and unsubscribe', async () => {
    const world = await open()
    const { durably, jobs, events } = await world.work({ job: job(() => 1) })
    const stop = durably.on('run:complete', async () => {
      stop()
      const { id } = await jobs.job.trigger(null, { delay: '1h' })
      await durably.cancel(id)
    })
    await jobs.job.triggerAndWait(null)
    await world.settle()
    expect(typesOf(events).slice(-2)).toEqual(['run:trigger', 'run:cancel'])
  })

  test('a process announces what it committed, not what others did', async () => {
    const world = await open()
    const { jobs, events } = await world.work({ job: job(() => 1) })
    const client = await world.join()
    const { theirs } = client.durably.register({ theirs: job(() => 2) })
    const { id } = await theirs.trigger(null)
    await world.until(client.durably.waitForRun(id))
    expect(typesOf(client.events)).toEqual(['run:trigger'])
    expect(typesOf(events)).toEqual(['run:start', 'run:complete'])
    expect(jobs.job.name).toBe('job')
  })

  test('durations tell how long a step and its run took', async () => {
    const world = await open()
    const { env } = await world.join()
    const { jobs, durably, events } = await world.work({
      job: job((step) =>
        step.run('slow', () => new Promise<void>((done) => void env.after(300, done))),
      ),
    })
    const { id } = await jobs.job.trigger(null)
    await world.until(durably.waitForRun(id))
    expect(events).toContainEqual(expect.objectContaining({ type: 'step:complete', duration: 300 }))
    expect(events).toContainEqual(expect.objectContaining({ type: 'run:complete', duration: 300 }))
    const [slow] = await durably.getSteps(id)
    expect(slow).toMatchObject({ startedAt: new Date(START).toISOString() })
  })
})
