import { expect, test } from 'vitest'
import { CancelledError, ConflictError, NotFoundError } from '../../../src/core/error.ts'
import type { StepContext } from '../../../src/core/step-context.ts'
import { hold, isEnding } from './wire.ts'
import { job, onEveryBackend, type World } from './world.ts'

/** A job in a step that ends when it is told to, and what it saw of the world. */
function createWitness() {
  const executing = Promise.withResolvers<StepContext>()
  const finish = Promise.withResolvers<string>()
  const seen: unknown[] = []
  const aborted = Promise.withResolvers<unknown>()
  const definition = job(async (step) => {
    step.abortSignal.addEventListener('abort', () => aborted.resolve(step.abortSignal.reason))
    try {
      return await step.run('long', () => {
        executing.resolve(step)
        return finish.promise
      })
    } catch (error) {
      seen.push(error)
      await step.run('after', () => seen.push('executed')).catch((late: unknown) => seen.push(late))
      return 'swallowed'
    }
  })
  return { definition, executing: executing.promise, finish, seen, aborted: aborted.promise }
}

async function startWitness(world: World) {
  const witness = createWitness()
  const worker = await world.work({ job: witness.definition })
  const { id } = await worker.jobs.job.trigger(null)
  await witness.executing
  return { ...witness, ...worker, id }
}

onEveryBackend((open) => {
  test('a pending run that is cancelled never executes', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(() => {
        throw new Error('executed')
      }),
    })
    const { id } = await jobs.job.trigger(null, { delay: '1s' })
    await durably.cancel(id)
    await world.advance(5000)
    const completedAt = new Date(world.now() - 5000).toISOString()
    expect(await durably.getRun(id)).toMatchObject({
      status: 'cancelled',
      completedAt,
      error: null,
    })
  })

  test('cancelling a run aborts its signal at once and rejects open and later steps', async () => {
    const world = await open()
    const { durably, id, seen, aborted } = await startWitness(world)
    const before = world.now()
    await durably.cancel(id)
    expect(await aborted).toBeInstanceOf(CancelledError)
    await world.settle()
    expect(world.now() - before).toBeLessThanOrEqual(50)
    expect(seen).toEqual([expect.any(CancelledError), expect.any(CancelledError)])
    expect(await durably.getRun(id)).toMatchObject({ status: 'cancelled', output: null })
    expect(await durably.getSteps(id)).toEqual([])
  })

  test('a cancelled run frees its slot, though its code still runs', async () => {
    const world = await open()
    const { durably, id, jobs, finish } = await startWitness(world)
    const next = await jobs.job.trigger('next')
    await durably.cancel(id)
    finish.resolve('both')
    expect(await durably.waitForRun(next.id)).toMatchObject({ output: 'both' })
    expect(await durably.getRun(id)).toMatchObject({ status: 'cancelled' })
  })

  test('a process that only triggers cancels a run of another, at the next renewal at the latest', async () => {
    const world = await open()
    const { id, aborted, seen } = await startWitness(world)
    const client = await world.join()
    const before = world.now()
    await client.durably.cancel(id)
    expect(await client.durably.getRun(id)).toMatchObject({ status: 'cancelled' })
    expect(await world.until(aborted)).toBeInstanceOf(CancelledError)
    await world.settle()
    expect(world.now() - before).toBeLessThanOrEqual(5000)
    expect(seen).toHaveLength(2)
  })

  test('a worker whose commit meets a cancel learns of it by the answer', async () => {
    const world = await open()
    const { id, finish, aborted, durably } = await startWitness(world)
    const client = await world.join()
    await client.durably.cancel(id)
    finish.resolve('too late')
    expect(await aborted).toBeInstanceOf(CancelledError)
    expect(await durably.getSteps(id)).toEqual([])
    expect(await durably.getRun(id)).toMatchObject({ status: 'cancelled' })
  })

  test('a cancel that comes before the last write wins', async () => {
    const world = await open()
    const { wire, durably, id, finish, events } = await startWitness(world)
    const last = hold((_, request) => isEnding(request, 'complete'))
    wire.intercept(last.intercept)
    finish.resolve('done')
    await last.reached
    await durably.cancel(id)
    last.open()
    await world.settle()
    expect(await durably.getRun(id)).toMatchObject({ status: 'cancelled', output: null })
    expect(
      events.filter(({ type }) => /complete$|cancel$/.test(type)).map(({ type }) => type),
    ).toEqual(['step:complete', 'run:cancel'])
  })

  test('a cancel that comes after the last write is refused', async () => {
    const world = await open()
    const { wire, durably, id, finish, events } = await startWitness(world)
    const last = hold((_, request) => isEnding(request, 'complete'), 'after')
    wire.intercept(last.intercept)
    finish.resolve('done')
    await last.reached
    await expect(durably.cancel(id)).rejects.toThrow(
      new ConflictError(`Cannot cancel completed run: ${id}`),
    )
    last.open()
    await world.settle()
    expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 'done' })
    expect(events.map(({ type }) => type)).not.toContain('run:cancel')
  })

  test('an execution that was cancelled does not complete the retry of its run', async () => {
    const world = await open()
    const old = Promise.withResolvers<string>()
    let executions = 0
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        const mine = ++executions
        const result = await step
          .run('work', () => (mine === 1 ? old.promise : Promise.resolve('new')))
          .catch(() => 'old, cancelled')
        await Promise.resolve()
        return `${result} ${mine}`
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    await durably.cancel(id)
    await durably.retry(id)
    old.resolve('old')
    const run = await durably.waitForRun(id)
    await world.settle()
    expect(run).toMatchObject({ output: 'new 2', attempt: 2 })
    expect(await durably.getSteps(id)).toMatchObject([{ output: 'new' }])
  })

  test('neither does one in another process that has not heard of the cancel', async () => {
    const world = await open()
    const { id, finish, aborted } = await startWitness(world)
    const other = await world.work({ job: job((step) => step.run('long', () => 'theirs')) })
    await other.durably.cancel(id)
    await other.durably.retry(id)
    expect(await world.until(other.durably.waitForRun(id))).toMatchObject({ output: 'theirs' })
    finish.resolve('mine')
    await world.until(aborted)
    expect(await other.durably.getRun(id)).toMatchObject({ output: 'theirs', status: 'completed' })
  })

  test('a run that is gone before its worker has read what it did executes nothing', async () => {
    const world = await open()
    const executed: string[] = []
    const { jobs, durably, wire } = await world.work({
      job: job(async (step) => {
        await step.run('once', () => void executed.push('once'))
        await step.run('fails', () => {
          throw new Error('never works')
        })
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    expect(await durably.getRun(id)).toMatchObject({ status: 'failed' })
    const reading = hold((operation) => operation === 'journal')
    wire.intercept(reading.intercept)
    const client = await world.join()
    await client.durably.retry(id)
    await world.until(reading.reached)
    await client.durably.cancel(id)
    await client.durably.deleteRun(id)
    reading.open()
    await world.settle()
    expect(executed).toEqual(['once'])
  })

  test('neither does a worker whose run became another attempt before it has read what it did', async () => {
    const world = await open()
    let starts = 0
    const { jobs, durably, wire } = await world.work({
      job: job(() => {
        starts++
        throw new Error('never works')
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    const reading = hold((operation) => operation === 'journal')
    wire.intercept(reading.intercept)
    const client = await world.join()
    await client.durably.retry(id)
    await world.until(reading.reached)
    await client.durably.cancel(id)
    await client.durably.retry(id)
    reading.open()
    await world.advance(5000)
    expect(await durably.getRun(id)).toMatchObject({ status: 'failed', attempt: 3 })
    expect(starts).toBe(2)
  })

  test('cancelling twice at once succeeds once', async () => {
    const world = await open()
    const { durably, id, events } = await startWitness(world)
    const client = await world.join()
    const settled = await world.until(
      Promise.allSettled([durably.cancel(id), client.durably.cancel(id), durably.cancel(id)]),
    )
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    const announced = [...events, ...client.events].filter(({ type }) => type === 'run:cancel')
    expect(announced).toHaveLength(1)
  })

  test('what has ended cannot be cancelled, and what is not there neither', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((_, payload) => {
        if (payload === 'fail') throw new Error('no')
      }),
    })
    const completed = await jobs.job.triggerAndWait(null)
    const failed = await jobs.job.trigger('fail')
    await durably.waitForRun(failed.id).catch(() => {})
    const cancelled = await jobs.job.trigger(null, { delay: '1h' })
    await durably.cancel(cancelled.id)
    for (const [status, id] of Object.entries({
      completed: completed.id,
      failed: failed.id,
      cancelled: cancelled.id,
    })) {
      const refusal = durably.cancel(id)
      await expect(refusal).rejects.toThrow(new ConflictError(`Cannot cancel ${status} run: ${id}`))
      await expect(refusal).rejects.toMatchObject({ code: 'conflict' })
    }
    await expect(durably.cancel('nobody')).rejects.toThrow(
      new NotFoundError('Run not found: nobody'),
    )
  })
})
