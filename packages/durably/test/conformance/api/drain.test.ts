import { expect, test } from 'vitest'
import { LeaseLostError } from '../../../src/core/error.ts'
import type { Batch } from '../../../src/store/store.ts'
import { answersLost, hold } from './wire.ts'
import { job, onEveryBackend, type World } from './world.ts'

/** A worker that executes a run, until `finish` is called. */
async function startBusy(world: World) {
  const finish = Promise.withResolvers<void>()
  const executing = Promise.withResolvers<void>()
  const reasons: unknown[] = []
  const executed: string[] = []
  const definition = job(async (step) => {
    step.abortSignal.addEventListener('abort', () => reasons.push(step.abortSignal.reason))
    await step.run('first', () => executed.push('first'))
    return step.run('second', async (signal) => {
      executed.push('second')
      if (executed.length > 2) return 'by another'
      signal.addEventListener('abort', () => reasons.push(signal.reason))
      executing.resolve()
      await finish.promise
      return 'here'
    })
  })
  const worker = await world.work({ job: definition })
  const { id } = await worker.jobs.job.trigger(null)
  await executing.promise
  return { ...worker, id, finish: finish.resolve, reasons, executed, definition }
}

/** What has become of a promise by now. */
async function stateOf(world: World, promise: Promise<unknown>): Promise<string> {
  let state = 'pending'
  void promise.then(
    () => (state = 'resolved'),
    () => (state = 'rejected'),
  )
  await world.settle()
  return state
}

onEveryBackend((open) => {
  test('stop waits for the run that executes, however long, and keeps its lease', async () => {
    const world = await open()
    const { durably, definition, id, finish, reasons } = await startBusy(world)
    const other = await world.work({ job: definition })
    const stopped = durably.stop()
    await world.advance(50_000)
    expect(await stateOf(world, stopped)).toBe('pending')
    finish()
    await world.until(stopped)
    expect(await other.durably.getRun(id)).toMatchObject({
      status: 'completed',
      output: 'here',
      attempt: 1,
    })
    expect(reasons).toEqual([])
  })

  test('a second stop resolves no earlier than the first', async () => {
    const world = await open()
    const { durably, finish } = await startBusy(world)
    const [first, second] = [durably.stop(), durably.stop()]
    await world.advance(10_000)
    expect(await stateOf(world, second)).toBe('pending')
    finish()
    await world.until(Promise.all([first, second]))
  })

  test('a worker that drains claims nothing more', async () => {
    const world = await open()
    const { durably, jobs, finish } = await startBusy(world)
    const { id } = await jobs.job.trigger(null)
    const stopped = durably.stop()
    finish()
    await world.until(stopped)
    await world.advance(60_000)
    expect(await durably.getRun(id)).toMatchObject({ status: 'pending', startedAt: null })
  })

  test('nor what it has just looked for', async () => {
    const world = await open()
    const { durably, jobs, wire, finish } = await startBusy(world)
    const { id } = await jobs.job.trigger(null)
    const looking = hold((operation) => operation === 'look', 'after')
    wire.intercept(looking.intercept)
    await world.advance(1000)
    await looking.reached
    const stopped = durably.stop()
    finish()
    await world.settle()
    looking.open()
    await world.until(stopped)
    expect(await durably.getRun(id)).toMatchObject({ status: 'pending', startedAt: null })
  })

  test('a worker that stopped can start again', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({ job: job(() => 'again') })
    await durably.stop()
    durably.start()
    expect(await jobs.job.triggerAndWait(null)).toMatchObject({ output: 'again' })
  })

  test('start during a drain takes effect after it', async () => {
    const world = await open()
    const { durably, jobs, finish } = await startBusy(world)
    const next = await jobs.job.trigger(null)
    const stopped = durably.stop()
    durably.start()
    await world.advance(5000)
    expect(await durably.getRun(next.id)).toMatchObject({ status: 'pending' })
    finish()
    await world.until(stopped)
    expect(await durably.waitForRun(next.id)).toMatchObject({ status: 'completed' })
  })

  test('stop after such a start takes it back', async () => {
    const world = await open()
    const { durably, jobs, finish } = await startBusy(world)
    const next = await jobs.job.trigger(null)
    void durably.stop()
    durably.start()
    const stopped = durably.stop()
    finish()
    await world.until(stopped)
    await world.advance(5000)
    expect(await durably.getRun(next.id)).toMatchObject({ status: 'pending' })
  })

  test('stop and start in a row leave one loop', async () => {
    const world = await open()
    const { durably, wire } = await world.work({ job: job(() => 1) })
    for (let i = 0; i < 5; i++) {
      void durably.stop()
      durably.start()
      await world.settle()
    }
    await world.advance(1)
    const before = wire.calls.get('look') ?? 0
    await world.advance(20_000)
    expect((wire.calls.get('look') ?? 0) - before).toBeLessThanOrEqual(21)
  })

  test('stop with a timeout aborts and hands back, and another worker continues', async () => {
    const world = await open()
    const { durably, id, definition, reasons, executed, events } = await startBusy(world)
    const stopped = durably.stop({ timeout: '3s' })
    await world.advance(2999)
    expect(reasons).toEqual([])
    expect(await durably.getRun(id)).toMatchObject({ status: 'running' })
    await world.advance(1)
    await world.until(stopped)
    expect(reasons).toEqual([expect.any(LeaseLostError), expect.any(LeaseLostError)])
    expect(await durably.getRun(id)).toMatchObject({ status: 'pending', attempt: 1 })
    expect(events.at(-1)).toMatchObject({ type: 'run:release', reason: 'drain' })

    const before = world.now()
    const other = await world.work({ job: definition })
    expect(await other.durably.waitForRun(id)).toMatchObject({ output: 'by another', attempt: 1 })
    expect(world.now()).toBe(before)
    expect(executed).toEqual(['first', 'second', 'second'])
  })

  test('a timeout given to a later stop counts too', async () => {
    const world = await open()
    const { durably, id } = await startBusy(world)
    const patient = durably.stop()
    await world.until(durably.stop({ timeout: 10 }))
    await patient
    expect(await durably.getRun(id)).toMatchObject({ status: 'pending' })
  })

  test('what the job does after it was handed back is not written', async () => {
    const world = await open()
    const { durably, id, finish } = await startBusy(world)
    await world.until(durably.stop({ timeout: 0 }))
    finish()
    await world.settle()
    expect((await durably.getSteps(id)).map(({ name }) => name)).toEqual(['first'])
    expect(await durably.getRun(id)).toMatchObject({ status: 'pending', output: null })
  })

  test('code that goes on after its run was handed back executes no step', async () => {
    const world = await open()
    const elsewhere = Promise.withResolvers<void>()
    const executed: string[] = []
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        await elsewhere.promise
        await step.run('later', () => executed.push('later'))
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    await world.until(durably.stop({ timeout: 0 }))
    elsewhere.resolve()
    await world.settle()
    expect(executed).toEqual([])
    expect(await durably.getRun(id)).toMatchObject({ status: 'pending' })
  })

  test('what was claimed while the worker stopped is handed back unstarted', async () => {
    const world = await open()
    let executions = 0
    const definition = job(() => executions++)
    const { durably, wire, events } = await world.work({ job: definition })
    const client = await world.join()
    await world.settle()
    const isClaim = (_: unknown, request: unknown): boolean =>
      ((request ?? {}) as Partial<Batch>).claim?.limit !== undefined
    const claim = hold(isClaim, 'after')
    wire.intercept(claim.intercept)
    const { job: handle } = client.durably.register({ job: definition })
    const { id } = await handle.trigger(null)
    await world.until(claim.reached)
    const stopped = durably.stop()
    claim.open()
    await world.until(stopped)
    expect(executions).toBe(0)
    expect(await client.durably.getRun(id)).toMatchObject({ status: 'pending' })
    expect(events.map(({ type }) => type)).toEqual(['run:start', 'run:release'])
    durably.start()
    await world.until(client.durably.waitForRun(id))
    expect(executions).toBe(1)
  })

  test('a run that is handed back while its past is read begins no step', async () => {
    const world = await open()
    const executed: string[] = []
    const definition = job(async (step) => {
      await step.run('first', () => executed.push('first'))
      await step.run('second', async () => {
        executed.push('second')
        if (executed.length === 2) await new Promise(() => {})
      })
    })
    const first = await world.work({ job: definition })
    const { id } = await world.until(first.jobs.job.trigger(null))
    await world.advance(100)
    first.crash()
    const second = await world.join()
    second.durably.register({ job: definition })
    const reading = hold((operation) => operation === 'journal')
    second.wire.intercept(reading.intercept)
    await second.durably.init()
    await world.until(reading.reached)
    const stopped = second.durably.stop({ timeout: 0 })
    await world.advance(100)
    reading.open()
    await world.until(stopped)
    expect(executed).toEqual(['first', 'second'])
    expect(await second.durably.getRun(id)).toMatchObject({ status: 'pending' })
  })

  test('who stops after a claim whose answer was lost leaves no lease that others wait for', async () => {
    const world = await open()
    const definition = job(() => 'done')
    const client = await world.join()
    const { job: handle } = client.durably.register({ job: definition })
    const { id } = await world.until(handle.trigger(null))
    const first = await world.join()
    first.durably.register({ job: definition })
    first.wire.intercept(answersLost('write'))
    await first.durably.init()
    await world.settle()
    expect(first.takeErrors()).not.toEqual([])
    first.wire.intercept(null)
    await world.until(first.durably.stop())
    const second = await world.work({ job: definition })
    await world.advance(3000)
    expect(await second.durably.getRun(id)).toMatchObject({ status: 'completed' })
    first.takeErrors()
  })

  test('a bad timeout is refused, and the worker goes on', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({ job: job(() => 1) })
    await expect(durably.stop({ timeout: -5 })).rejects.toThrow(/^timeout must be a duration/)
    expect(await jobs.job.triggerAndWait(null)).toMatchObject({ output: 1 })
  })

  test('close waits as stop does', async () => {
    const world = await open()
    const { durably, id, finish } = await startBusy(world)
    const client = await world.join()
    const closed = durably.close()
    await world.advance(60_000)
    expect(await stateOf(world, closed)).toBe('pending')
    // A worker that is started now would stay behind.
    expect(() => durably.start()).toThrow('This instance of Durably was closed')
    finish()
    await world.until(closed)
    expect(await client.durably.getRun(id)).toMatchObject({ status: 'completed' })
  })
})
