import { describe, expect, test } from 'vitest'
import { LeaseLostError } from '../../../src/core/error.ts'
import { answersLost, type Intercept } from './wire.ts'
import { job, onEveryBackend, type Process, START, type World } from './world.ts'

/** Ends the process at its nth call, on one or the other side of it. */
function dieAt(n: number, side: 'before' | 'after', process: Process): Intercept {
  let calls = 0
  return async (_, proceed) => {
    const isLast = ++calls === n
    if (isLast && side === 'before') process.crash()
    const answer = await proceed()
    if (isLast) process.crash()
    return answer
  }
}

/** A worker that dies in the middle of the run's only step. */
async function dieInStep(world: World, maxCrashes: number): Promise<string> {
  const worker = await world.work(
    { job: job((step) => step.run('fatal', () => new Promise(() => {}))) },
    { maxCrashes },
  )
  const [pending] = await worker.durably.getRuns()
  const { id } = pending ?? (await worker.jobs.job.trigger(null))
  await world.advance(40_000)
  worker.crash()
  return id
}

onEveryBackend((open) => {
  test('another worker continues within staleThreshold and a poll, without the completed steps', async () => {
    const world = await open()
    const executed: string[] = []
    const definition = job(async (step) => {
      await step.run('done before', () => executed.push('done before'))
      await step.run('cut off', () => {
        executed.push('cut off')
        return step.attempt === 1 ? new Promise<void>(() => {}) : undefined
      })
      return step.attempt
    })
    const doomed = await world.work({ job: definition })
    const rescuer = await world.work({ job: definition })
    const { id } = await doomed.jobs.job.trigger(null)
    await world.settle()
    doomed.crash()
    const before = world.now()
    const run = await world.until(rescuer.durably.waitForRun(id))
    expect(run).toMatchObject({ output: 2, attempt: 2, status: 'completed' })
    expect(world.now() - before).toBeLessThanOrEqual(31_000)
    expect(executed).toEqual(['done before', 'cut off', 'cut off'])
  })

  test('a lease that a claim left as it was is renewed in time', async () => {
    const world = await open()
    const options = { heartbeatInterval: '58s', staleThreshold: '60s' } as const
    const finish = Promise.withResolvers<void>()
    const attempts: number[] = []
    const definition = job(async (step, payload) => {
      attempts.push(step.attempt)
      if (payload === 'long') await finish.promise
    })
    const holder = await world.work({ job: definition }, { ...options, pollingInterval: '1h' })
    await holder.durably.waitForRun((await holder.jobs.job.trigger('short')).id)
    await world.advance(7000)
    const { id } = await holder.jobs.job.trigger('long')
    await world.advance(50_000)
    await world.work({ job: definition }, options)
    await world.advance(7000)
    finish.resolve()
    expect(await world.until(holder.durably.waitForRun(id))).toMatchObject({ attempt: 1 })
    expect(attempts).toEqual([1, 1])
  })

  test('a step does not begin under a lease that ran out, which others may have taken', async () => {
    const world = await open()
    const goOn = Promise.withResolvers<void>()
    const executed: number[] = []
    const definition = job(async (step) => {
      if (step.attempt === 1) await goOn.promise
      await step.run('effect', () => executed.push(step.attempt))
    })
    const away = await world.work({ job: definition })
    const { id } = await away.jobs.job.trigger(null)
    await world.settle()
    const back = Promise.withResolvers<void>()
    away.wire.intercept(async (_, proceed) => {
      await back.promise
      return proceed()
    })
    const other = await world.work({ job: definition })
    await world.until(other.durably.waitForRun(id))
    goOn.resolve()
    await world.settle()
    back.resolve()
    await world.advance(1000)
    expect(executed).toEqual([2])
    away.takeErrors()
  })

  test('a renewal that was under way when a run came says nothing of it', async () => {
    const world = await open()
    const [answered, renewed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const executed: number[] = []
    const definition = job(async (step) => {
      await step.run('effect', () => executed.push(step.attempt))
    })
    const options = { heartbeatInterval: '1s', staleThreshold: '3s' } as const
    const away = await world.work({ job: definition }, options)
    const idleHeartbeat = START + 60_000
    await world.advance(idleHeartbeat - 8000 - world.now())
    away.wire.intercept(async (operation, proceed) => {
      if (operation === 'renew') await renewed.promise
      const answer = await proceed()
      if (operation === 'write') await answered.promise
      return answer
    })
    const triggered = away.jobs.job.trigger(null).catch((error: unknown) => error)
    await world.settle()
    const other = await world.work({ job: definition }, options)
    const [run] = await world.until(other.durably.getRuns())
    await world.until(other.durably.waitForRun(run?.id ?? ''))
    await world.advance(idleHeartbeat - world.now())
    expect(away.wire.calls.get('renew')).toBe(1)
    answered.resolve()
    await world.until(triggered)
    renewed.resolve()
    await world.advance(1000)
    expect(executed).toEqual([2])
    away.takeErrors()
  })

  test('a run that was handed back since nobody here knew of it is not begun when the answer comes', async () => {
    const world = await open()
    const finish = Promise.withResolvers<void>()
    const answered = Promise.withResolvers<void>()
    const executed: number[] = []
    const definition = job(async (step, payload) => {
      if (payload === 'long') return finish.promise
      return step.run('effect', () => executed.push(step.attempt))
    })
    const heartbeatMs = 1000
    const options = {
      heartbeatInterval: heartbeatMs,
      staleThreshold: 60 * heartbeatMs,
      maxConcurrentRuns: 2,
    }
    const away = await world.work({ job: definition }, options)
    const { id: long } = await world.until(away.jobs.job.trigger('long'))
    await world.settle()
    away.wire.intercept(async (operation, proceed) => {
      const answer = await proceed()
      if (operation === 'write') await answered.promise
      return answer
    })
    const triggered = away.jobs.job.trigger('short')
    await world.settle()
    const other = await world.work({ job: definition }, options)
    await world.advance(heartbeatMs)
    expect(executed).toEqual([])
    await world.advance(3 * heartbeatMs)
    expect(executed).toEqual([1])
    answered.resolve()
    const { id } = await world.until(triggered)
    finish.resolve()
    await world.until(other.durably.waitForRun(long))
    expect(await world.until(other.durably.waitForRun(id))).toMatchObject({ output: 1 })
    expect(executed).toEqual([1])
  })

  test('a step begins under a lease that ran out once it is renewed', async () => {
    const world = await open()
    const goOn = Promise.withResolvers<void>()
    const definition = job(async (step) => {
      await goOn.promise
      return step.run('effect', () => step.attempt)
    })
    const { jobs, durably, takeErrors } = await world.work({ job: definition })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    world.block(60_000)
    goOn.resolve()
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 1, attempt: 1 })
    expect(takeErrors()).toMatchObject([{ context: 'renewing the lease' }])
  })

  test('a worker that lives keeps its run for as long as it takes', async () => {
    const world = await open()
    const finish = Promise.withResolvers<void>()
    const definition = job((step) => step.run('long', () => finish.promise))
    const { jobs, durably } = await world.work({ job: definition })
    await world.work({ job: definition })
    const { id } = await jobs.job.trigger(null)
    await world.advance(50_000)
    finish.resolve()
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ attempt: 1 })
  })

  test('a worker that was away for too long writes nothing any more', async () => {
    const world = await open()
    const finish = Promise.withResolvers<string>()
    const reasons: unknown[] = []
    const definition = job((step) => {
      step.abortSignal.addEventListener('abort', () => reasons.push(step.abortSignal.reason))
      return step.run('work', () => (step.attempt === 1 ? finish.promise : 'theirs'))
    })
    const stale = await world.work({ job: definition })
    const { id } = await stale.jobs.job.trigger(null)
    await world.settle()
    const thawed = Promise.withResolvers<void>()
    stale.wire.intercept(async (_, proceed) => {
      await thawed.promise
      return proceed()
    })
    const other = await world.work({ job: definition })
    expect(await world.until(other.durably.waitForRun(id))).toMatchObject({ output: 'theirs' })
    finish.resolve('mine')
    await world.advance(1000)
    thawed.resolve()
    await world.advance(10_000)
    expect(reasons).toEqual([expect.any(LeaseLostError)])
    expect(await other.durably.getRun(id)).toMatchObject({ output: 'theirs', attempt: 2 })
    expect(await other.durably.getSteps(id)).toMatchObject([{ output: 'theirs', attempts: 1 }])
    stale.takeErrors()
  })

  describe.each(['before', 'after'] as const)('a process that dies %s', (side) => {
    test.each([1, 2, 3, 4, 5, 6, 7, 8])(
      'its call %i loses nothing and repeats no resolved step',
      async (n) => {
        const world = await open()
        const executed: string[] = []
        const resolved: string[] = []
        const definition = job(async (step) => {
          for (const name of ['a', 'b', 'c']) {
            await step.run(name, () => {
              expect(resolved).not.toContain(name)
              executed.push(name)
            })
            resolved.push(name)
          }
          return 'done'
        })
        const client = await world.join()
        const { job: handle } = client.durably.register({ job: definition })
        const { id } = await handle.trigger(null)
        const doomed = await world.join()
        doomed.wire.intercept(dieAt(n, side, doomed))
        doomed.durably.register({ job: definition })
        doomed.durably.start()
        await world.advance(100)
        doomed.crash()
        resolved.length = 0
        const { durably } = await world.work({ job: definition })
        expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 'done' })
        const steps = await durably.getSteps(id)
        expect(steps.map(({ name, status, attempts }) => [name, status, attempts])).toEqual(
          ['a', 'b', 'c'].map((name) => [name, 'completed', 1]),
        )
        expect(executed.length).toBeLessThanOrEqual(4)
      },
    )
  })

  test('a run whose workers die again and again in one step fails, and names the step', async () => {
    const world = await open()
    const client = await world.join()
    let id = ''
    for (let i = 0; i < 3; i++) id = await dieInStep(world, 3)
    const healthy = await world.work({ job: job(() => 'never') }, { maxCrashes: 3 })
    const failure = await world.until(
      client.durably.waitForRun(id).catch((error: unknown) => error),
    )
    expect(failure).toMatchObject({
      name: 'RunFailedError',
      message: 'Run crashed 3 times in a row, last in step "fatal"',
      detail: { step: 'fatal' },
    })
    const failed = healthy.events.find(({ type }) => type === 'run:fail')
    expect(failed).toMatchObject({ runId: id, failedStepName: 'fatal' })
  })

  test('on its last chance a run executes steps in parallel as ever', async () => {
    const world = await open()
    const definition = job((step) =>
      Promise.all(['a', 'b', 'c'].map((name) => step.run(name, () => name))),
    )
    const { jobs, durably } = await world.work({ job: definition }, { maxCrashes: 1 })
    const { id } = await jobs.job.trigger(null)
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: ['a', 'b', 'c'] })
  })

  test('crashes between which a step ended are not in a row', async () => {
    const world = await open()
    const definition = job(async (step) => {
      for (let i = 1; i <= 4; i++) await step.run(`step ${i}`, () => i)
      if (step.attempt < 5) await step.run(`attempt ${step.attempt}`, () => step.attempt)
      if (step.attempt < 5) await new Promise(() => {})
      return 'survived'
    })
    const client = await world.join()
    const { job: handle } = client.durably.register({ job: definition })
    const { id } = await handle.trigger(null)
    for (let i = 0; i < 4; i++) {
      const doomed = await world.work({ job: definition }, { maxCrashes: 2 })
      await world.advance(40_000)
      doomed.crash()
    }
    await world.work({ job: definition }, { maxCrashes: 2 })
    expect(await world.until(client.durably.waitForRun(id))).toMatchObject({
      output: 'survived',
      attempt: 5,
    })
  })

  test('a run of a dead worker whose job nobody here knows waits for one who does', async () => {
    const world = await open()
    const definition = job(({ attempt }) =>
      attempt === 1 ? new Promise<void>(() => {}) : undefined,
    )
    const doomed = await world.work({ job: definition })
    const { id } = await doomed.jobs.job.trigger(null)
    await world.settle()
    doomed.crash()
    const stranger = await world.work({ other: job(() => 1, 'other') })
    await world.advance(60_000)
    expect(await stranger.durably.getRun(id)).toMatchObject({ status: 'pending', attempt: 2 })
    expect(stranger.events.map(({ type }) => type)).toEqual(['run:release'])
    const knowing = await world.work({ job: definition })
    expect(await world.until(knowing.durably.waitForRun(id))).toMatchObject({ attempt: 2 })
  })

  test('a worker that was blocked says so, and keeps the run that nobody took', async () => {
    const world = await open()
    const finish = Promise.withResolvers<void>()
    const { jobs, durably, takeErrors } = await world.work({ job: job(() => finish.promise) })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    world.block(60_000)
    await world.advance(1)
    expect(takeErrors()).toMatchObject([
      {
        context: 'renewing the lease',
        error: expect.stringContaining('blocks the event loop') as unknown,
      },
    ])
    finish.resolve()
    expect(await durably.waitForRun(id)).toMatchObject({ status: 'completed', attempt: 1 })
  })

  test('a claim whose answer was lost is handed back, and the run executed once', async () => {
    const world = await open()
    let executions = 0
    const worker = await world.work({ job: job(() => executions++) })
    await world.settle()
    const client = await world.join()
    const { job: handle } = client.durably.register({ job: job(() => 0) })
    worker.wire.intercept(answersLost('write'))
    const { id } = await handle.trigger(null)
    await world.advance(1500)
    expect(await client.durably.getRun(id)).toMatchObject({ status: 'running' })
    worker.wire.intercept(null)
    const before = world.now()
    await world.until(client.durably.waitForRun(id))
    // Two heartbeats and a poll.
    expect(world.now() - before).toBeLessThan(12_000)
    expect(executions).toBe(1)
    expect(worker.takeErrors()).not.toEqual([])
    await world.advance(20_000)
    const renewals = worker.wire.calls.get('renew') ?? 0
    await world.advance(100_000)
    expect((worker.wire.calls.get('renew') ?? 0) - renewals).toBeLessThanOrEqual(2)
  })
})
