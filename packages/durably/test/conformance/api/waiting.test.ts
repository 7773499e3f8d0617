import { describe, expect, test } from 'vitest'
import {
  CancelledError,
  NotFoundError,
  RunFailedError,
  TimeoutError,
} from '../../../src/core/error.ts'
import { job, onEveryBackend, testAtScale } from './world.ts'

const forever = job(() => new Promise<void>(() => {}), 'forever')
const failing = job(() => {
  throw new Error('broken')
}, 'failing')

onEveryBackend((open) => {
  test.each([[0], [''], [false], [null], [[]], [undefined]])(
    'triggerAndWait gives the output %j',
    async (value) => {
      const world = await open()
      const { jobs } = await world.work({ job: job(() => value) })
      expect(await jobs.job.triggerAndWait(null)).toMatchObject({
        output: value,
        disposition: 'created',
      })
    },
  )

  test('triggerAndWait asks the database nothing about a run that completes here', async () => {
    const world = await open()
    const { jobs, wire } = await world.work({ job: job(() => 'done') })
    expect(await jobs.job.triggerAndWait(null)).toMatchObject({ output: 'done' })
    expect(wire.calls.has('run')).toBe(false)
  })

  test('triggerAndWait ends though the run did before its trigger was answered', async () => {
    const world = await open()
    const quick = job(() => 'done', 'quick')
    const { durably, wire } = await world.join()
    const handle = durably.register({ quick }).quick
    const answered = Promise.withResolvers<void>()
    wire.intercept(async (operation, proceed) => {
      const answer = await proceed()
      if (operation === 'write') await answered.promise
      return answer
    })
    const waiting = handle.triggerAndWait(null)
    const other = await world.work({ quick })
    await world.advance(2000)
    const [run] = await other.durably.getRuns()
    expect(run?.status).toBe('completed')
    answered.resolve()
    expect(await world.until(waiting)).toEqual({
      id: run?.id,
      output: 'done',
      disposition: 'created',
    })
  })

  test('waitForRun gives the run, also one that ended long ago', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ job: job((_, payload) => payload) })
    const { id } = await jobs.job.triggerAndWait('x')
    const run = await durably.waitForRun(id)
    expect(run).toMatchObject({ id, status: 'completed', output: 'x', jobName: 'job' })
    expect(run).toEqual(await durably.getRun(id))
  })

  test('both reject when the run fails, with its error', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ failing })
    const waiting = jobs.failing.triggerAndWait(null)
    await expect(waiting).rejects.toBeInstanceOf(RunFailedError)
    await expect(waiting).rejects.toThrow('broken')
    const [run] = await durably.getRuns()
    await expect(durably.waitForRun(run?.id ?? '')).rejects.toThrow('broken')
  })

  test('both reject when the run is cancelled', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ forever })
    const waits = [jobs.forever.triggerAndWait(null).catch((error: unknown) => error)]
    await world.settle()
    const id = (await durably.getRuns())[0]?.id ?? ''
    waits.push(durably.waitForRun(id).catch((error: unknown) => error))
    await durably.cancel(id)
    expect(await Promise.all(waits)).toEqual([
      expect.any(CancelledError),
      expect.any(CancelledError),
    ])
  })

  test('waitForRun rejects when there is no such run, or no more', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ forever })
    await expect(durably.waitForRun('nobody')).rejects.toThrow(
      new NotFoundError('Run not found: nobody'),
    )
    const { id } = await jobs.forever.trigger(null)
    await durably.cancel(id)
    await durably.deleteRun(id)
    await expect(durably.waitForRun(id)).rejects.toBeInstanceOf(NotFoundError)
  })

  test('a run that is deleted while another process waits for it rejects the wait', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ forever })
    const { id } = await jobs.forever.trigger(null)
    const client = await world.join()
    const waiting = client.durably.waitForRun(id).catch((error: unknown) => error)
    await world.settle()
    await durably.cancel(id)
    await durably.deleteRun(id)
    expect(await world.until(waiting)).toMatchObject({
      name: expect.stringMatching(/^(NotFound|Cancelled)Error$/) as unknown,
    })
  })

  test('a wait that takes too long rejects, and the run goes on', async () => {
    const world = await open()
    const finish = Promise.withResolvers<string>()
    const { jobs, durably } = await world.work({ job: job(() => finish.promise) })
    const waiting = jobs.job
      .triggerAndWait(null, { timeout: '2s' })
      .catch((error: unknown) => error)
    await world.advance(1999)
    const [run] = await durably.getRuns()
    expect(run?.status).toBe('running')
    await world.advance(1)
    expect(await waiting).toEqual(new TimeoutError('triggerAndWait timeout after 2000ms'))
    const again = durably
      .waitForRun(run?.id ?? '', { timeout: 10 })
      .catch((error: unknown) => error)
    await world.advance(10)
    expect(await again).toBeInstanceOf(TimeoutError)
    finish.resolve('late')
    expect(await durably.waitForRun(run?.id ?? '')).toMatchObject({ output: 'late' })
  })

  test('a wait that ends in time leaves no timer of its timeout', async () => {
    const world = await open()
    const { jobs, durably, env } = await world.work({ job: job(() => 1) })
    await world.settle()
    const timers = env.timers()
    const { id } = await jobs.job.triggerAndWait(null, { timeout: '1h' })
    await durably.waitForRun(id, { timeout: '1h' })
    expect(env.timers()).toBeLessThanOrEqual(timers)
  })

  test('a signal ends the wait with its reason', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ forever })
    const { id } = await jobs.forever.trigger(null)
    const controller = new AbortController()
    const waiting = durably.waitForRun(id, { signal: controller.signal })
    await world.settle()
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(waiting).rejects.toBe(reason)
    await expect(durably.waitForRun(id, { signal: controller.signal })).rejects.toBe(reason)
    expect(await durably.getRun(id)).toMatchObject({ status: 'running' })
  })

  describe.each(['completed', 'failed', 'cancelled'])('a run %s by another process', (outcome) => {
    test('settles triggerAndWait here', async () => {
      const world = await open()
      const work = job((_, payload) => {
        if (payload === 'completed') return 'theirs'
        if (payload === 'failed') throw new Error('theirs')
        return new Promise<string>(() => {})
      })
      const worker = await world.work({ work })
      const { durably } = await world.join()
      const { work: client } = durably.register({ work })
      const waiting = client.triggerAndWait(outcome).catch((error: unknown) => error)
      if (outcome === 'cancelled') {
        await world.advance(2000)
        const [run] = await worker.durably.getRuns()
        await worker.durably.cancel(run?.id ?? '')
      }
      const settled = await world.until(waiting)
      if (outcome === 'completed') expect(settled).toMatchObject({ output: 'theirs' })
      if (outcome === 'failed')
        expect(settled).toMatchObject({ name: 'RunFailedError', message: 'theirs' })
      if (outcome === 'cancelled') expect(settled).toBeInstanceOf(CancelledError)
    })
  })

  testAtScale('a thousand waits for one run all settle, and leave nothing behind', async () => {
    const world = await open()
    const finish = Promise.withResolvers<number>()
    const { jobs, durably, env } = await world.work({ job: job(() => finish.promise) })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    const timers = env.timers()
    const waits = Array.from({ length: 1000 }, () => durably.waitForRun(id))
    finish.resolve(5)
    const runs = await Promise.all(waits)
    expect(new Set(runs.map(({ output }) => output))).toEqual(new Set([5]))
    await world.settle()
    expect(env.timers()).toBeLessThanOrEqual(timers)
  })

  test('a bad timeout is refused before anything is written', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ forever })
    const timeout = 'soon' as '1s'
    await expect(jobs.forever.triggerAndWait(null, { timeout })).rejects.toThrow(/^timeout must be/)
    await expect(durably.waitForRun('x', { timeout: -1 })).rejects.toThrow(/^timeout must be/)
    expect(await durably.getRuns()).toEqual([])
  })
})
