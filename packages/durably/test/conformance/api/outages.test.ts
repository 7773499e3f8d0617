import { describe, expect, test } from 'vitest'
import { type Batch, RejectedWriteError } from '../../../src/store/store.ts'
import type { StepContext } from '../../../src/core/step-context.ts'
import { readAll } from './read-all.ts'
import { answersLost, type Intercept, isEnding, unreachable, type Wire } from './wire.ts'
import { job, onEveryBackend } from './world.ts'

const callsOf = ({ calls }: Wire): number => [...calls.values()].reduce((a, b) => a + b, 0)

/** The database refuses writes that hold this text. */
function refusing(text: string): Intercept {
  return async (operation, proceed, request) => {
    if (operation === 'write' && JSON.stringify(request).includes(text)) {
      throw new RejectedWriteError('no room for this')
    }
    return proceed()
  }
}

const isEndOfPoison = ({ kind, name }: Batch['commits'][number]['entries'][number]): boolean =>
  name === 'poison' && kind !== 'step:wait'

onEveryBackend((open) => {
  test('an idle worker whose database is away backs off, says so, and carries on', async () => {
    const world = await open()
    const { jobs, wire, takeErrors } = await world.work({ job: job(() => 'back') })
    await world.advance(1000)
    wire.intercept(unreachable())
    const before = callsOf(wire)
    await world.advance(120_000)
    // At worst one call per renewal and one per five seconds of backoff; a hot loop makes thousands.
    const watching = wire.calls.get('version') ?? 0
    expect(callsOf(wire) - before - watching).toBeLessThan(100)
    const errors = takeErrors()
    expect(errors[0]).toMatchObject({
      type: 'worker:error',
      error: 'the database is away',
      context: 'looking for runs',
      runId: null,
    })
    expect(errors.length).toBeLessThan(100)
    wire.intercept(null)
    expect(await world.until(jobs.job.triggerAndWait(null))).toMatchObject({ output: 'back' })
    expect(takeErrors()).toEqual([])
  })

  test('a run that executes survives an outage shorter than its lease', async () => {
    const world = await open()
    const executed: string[] = []
    const goOn = Promise.withResolvers<void>()
    const { jobs, wire, durably, takeErrors } = await world.work({
      job: job(async (step) => {
        await step.run('before', () => executed.push('before'))
        await goOn.promise
        await step.run('during', () => executed.push('during'))
        await step.run('after', () => executed.push('after'))
        return 'whole'
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    wire.intercept(unreachable())
    goOn.resolve()
    await world.advance(20_000)
    expect(executed).toEqual(['before', 'during'])
    wire.intercept(null)
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 'whole', attempt: 1 })
    expect(executed).toEqual(['before', 'during', 'after'])
    expect(takeErrors()).not.toEqual([])
  })

  test('a run goes on soon after an outage in which its worker gave it up and kept its lease', async () => {
    const world = await open()
    const goOn = Promise.withResolvers<void>()
    let executions = 0
    const definition = job(async (step) => {
      if (executions === 0) await goOn.promise
      return step.run('step', () => ++executions)
    })
    // It is not polling that finds the run.
    const { jobs, wire, durably, events, takeErrors } = await world.work(
      { job: definition },
      { pollingInterval: '10m' },
    )
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    wire.intercept(unreachable('write'))
    goOn.resolve()
    await world.advance(40_000)
    wire.intercept(null)
    const before = world.now()
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 2 })
    // A heartbeat, and what is left of a backoff.
    expect(world.now() - before).toBeLessThan(12_000)
    const told = events.filter(({ type }) => type === 'run:release' || type === 'run:start')
    expect(told.map(({ type }) => type)).toEqual(['run:start', 'run:release', 'run:start'])
    takeErrors()
  })

  test('a follower of a run reads seldom while the database is away, whatever there is to tell', async () => {
    const world = await open()
    const { jobs, wire, durably, takeErrors } = await world.work({
      job: job(async (step) => {
        await step.run('one', () => 1)
        await step.sleep('pause', '1m')
        await step.run('two', () => 2)
      }),
    })
    const { id } = await jobs.job.trigger(null)
    const following = readAll(durably.subscribe(id))
    await world.advance(59_000)
    let reads = 0
    wire.intercept(async (operation, proceed) => {
      if (operation !== 'journal') return proceed()
      reads++
      throw new Error('the database is away')
    })
    await world.advance(10_000)
    expect(reads).toBeLessThan(30)
    wire.intercept(null)
    expect((await world.until(following)).at(-1)?.type).toBe('run:complete')
    takeErrors()
  })

  test('a commit that fails every time holds no other run up', async () => {
    const world = await open()
    const { jobs, wire, takeErrors } = await world.work(
      {
        job: job((step) => step.run('step', () => 'too long')),
        other: job((step) => step.run('step', () => 'short'), 'other'),
      },
      { maxConcurrentRuns: 10 },
    )
    // As by a timeout of the statement, or a trigger of the app.
    wire.intercept(async (operation, proceed, request) => {
      if (operation === 'write' && JSON.stringify(request).includes('too long')) {
        throw new Error('canceling statement due to statement timeout')
      }
      return proceed()
    })
    await jobs.job.trigger(null)
    const before = world.now()
    for (let i = 0; i < 20; i++) await world.until(jobs.other.triggerAndWait(null))
    expect(world.now() - before).toBeLessThan(20_000)
    takeErrors()
  })

  test('a failure of a step that the database refuses fails it with the refusal', async () => {
    const world = await open()
    let executions = 0
    const { jobs, durably, wire } = await world.work({
      job: job((step) =>
        step.run('step', () => {
          executions++
          throw new Error('no room for me')
        }),
      ),
    })
    wire.intercept(refusing('no room for me'))
    const { id } = await jobs.job.trigger(null)
    await expect(world.until(durably.waitForRun(id))).rejects.toThrow('no room for this')
    expect(executions).toBe(1)
  })

  test.each([
    ['step', (step: StepContext) => step.run('poison', () => 1)],
    ['wait', (step: StepContext) => step.waitForSignal('poison')],
  ])(
    'what a %s came to and that it was refused are refused: the run fails, and keeps its progress',
    async (_, come) => {
      const world = await open()
      const { jobs, durably, wire } = await world.work({
        job: job((step) => {
          step.progress(7, 10)
          return come(step)
        }),
      })
      wire.intercept(async (operation, proceed, request) => {
        const { commits } = (request ?? {}) as Partial<Batch>
        const isMeant = commits?.some(({ entries }) => entries.some(isEndOfPoison)) ?? false
        if (operation === 'write' && isMeant) throw new RejectedWriteError('no room for this')
        return proceed()
      })
      const { id } = await jobs.job.trigger(null)
      await world.settle()
      await durably.signal(id, 'poison').catch(() => {})
      await expect(world.until(durably.waitForRun(id))).rejects.toThrow('no room for this')
      expect(await durably.getRun(id)).toMatchObject({ progress: { current: 7, total: 10 } })
    },
  )

  test('a run whose worker is cut off for longer goes on in another', async () => {
    const world = await open()
    const goOn = Promise.withResolvers<void>()
    const definition = job(async (step) => {
      if (step.attempt === 1) await goOn.promise
      return step.run('step', () => step.attempt)
    })
    const cutOff = await world.work({ job: definition })
    const { id } = await cutOff.jobs.job.trigger(null)
    await world.settle()
    cutOff.wire.intercept(unreachable())
    goOn.resolve()
    const { durably } = await world.work({ job: definition })
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 2 })
    await world.advance(60_000)
    cutOff.wire.intercept(null)
    await world.advance(10_000)
    expect(await durably.getSteps(id)).toMatchObject([{ output: 2, attempts: 1 }])
    cutOff.takeErrors()
  })

  test('a transient error on the last write does not fail a run that is done', async () => {
    const world = await open()
    let refusals = 0
    const { jobs, wire, events, takeErrors } = await world.work({ job: job(() => 'done') })
    wire.intercept(async (_, proceed, request) => {
      if (!isEnding(request, 'complete') || ++refusals > 3) return proceed()
      throw new Error('try again')
    })
    expect(await world.until(jobs.job.triggerAndWait(null))).toMatchObject({ output: 'done' })
    expect(events.map(({ type }) => type)).not.toContain('run:fail')
    // A claim travelled with one of the writes, and says so too.
    expect(new Set(takeErrors().map(({ error }) => error))).toEqual(new Set(['try again']))
  })

  describe('an answer that was lost', () => {
    test('to each write of a run costs nothing and repeats nothing', async () => {
      const world = await open()
      const executed: string[] = []
      const { jobs, wire, events, takeErrors } = await world.work({
        job: job(async (step) => {
          for (const name of ['a', 'b', 'c']) await step.run(name, () => executed.push(name))
          return 'once'
        }),
      })
      let writes = 0
      wire.intercept(async (operation, proceed, request) => {
        const answer = await proceed()
        const hasCommits = operation === 'write' && (request as Batch).commits.length > 0
        if (hasCommits && writes++ % 2 === 0) throw new Error('the connection broke')
        return answer
      })
      expect(await world.until(jobs.job.triggerAndWait(null))).toMatchObject({ output: 'once' })
      expect(executed).toEqual(['a', 'b', 'c'])
      expect(events.filter(({ type }) => type === 'step:complete')).toHaveLength(3)
      expect(takeErrors().length).toBeGreaterThanOrEqual(4)
    })

    test('to a trigger gives that one run', async () => {
      const world = await open()
      const { durably, wire, events, takeErrors } = await world.join()
      const { job: handle } = durably.register({ job: job(() => 1) })
      let isFirst = true
      const losing = answersLost('write')
      wire.intercept(async (operation, proceed, request) => {
        if (!isFirst) return proceed()
        isFirst = false
        return losing(operation, proceed, request)
      })
      const { id, disposition } = await world.until(handle.trigger(null))
      expect(disposition).toBe('created')
      expect((await durably.getRuns()).map((run) => run.id)).toEqual([id])
      expect(events.filter(({ type }) => type === 'run:trigger')).toHaveLength(1)
      expect(takeErrors()).toHaveLength(1)
    })

    test('to a trigger does not bring its run back that was executed and deleted meanwhile', async () => {
      const world = await open()
      let executions = 0
      const worker = await world.work({ job: job(() => void executions++) })
      const removed = Promise.withResolvers<void>()
      worker.durably.on('run:complete', async ({ runId }) => {
        await worker.durably.deleteRun(runId)
        removed.resolve()
      })
      const { durably, wire, takeErrors } = await world.join()
      const { job: handle } = durably.register({ job: job(() => {}) })
      wire.intercept(answersLost('write'))
      const triggered = handle.trigger(null)
      await world.until(removed.promise)
      wire.intercept(null)
      expect(await world.until(triggered)).toMatchObject({ disposition: 'created' })
      await world.advance(5000)
      expect(executions).toBe(1)
      expect(await durably.getRuns()).toEqual([])
      takeErrors()
    })
  })

  test('a trigger that the database does not take for long rejects with its error', async () => {
    const world = await open()
    const { durably, wire, takeErrors } = await world.join()
    const { job: handle } = durably.register({ job: job(() => 1) })
    wire.intercept(unreachable('write'))
    const failure = handle.trigger(null).catch((error: unknown) => error)
    expect(await world.until(failure)).toEqual(new Error('the database is away'))
    // What is left of a backoff.
    await world.advance(5000)
    takeErrors()
    expect(await durably.getRuns()).toEqual([])
  })

  test('reads and actions reject at once, and harm nothing', async () => {
    const world = await open()
    const { durably, wire } = await world.join()
    wire.intercept(unreachable())
    for (const call of [
      durably.getRun('x'),
      durably.getRuns(),
      durably.getSteps('x'),
      durably.cancel('x'),
      durably.retry('x'),
      durably.pauseJob('x'),
      durably.retrigger('x'),
    ]) {
      await expect(call).rejects.toThrow('the database is away')
    }
  })

  test('a wait for a run outlasts an outage', async () => {
    const world = await open()
    const { jobs } = await world.work({ job: job(() => 'there') })
    const { id } = await jobs.job.trigger(null)
    const { durably, wire, takeErrors } = await world.join()
    wire.intercept(unreachable())
    const waiting = durably.waitForRun(id)
    await world.advance(30_000)
    expect(takeErrors().length).toBeLessThan(40)
    wire.intercept(null)
    expect(await world.until(waiting)).toMatchObject({ output: 'there' })
    takeErrors()
  })

  describe('a write that the database refuses', () => {
    test('fails only the step that it stores', async () => {
      const world = await open()
      const { jobs, wire, durably } = await world.work(
        {
          job: job(async (step, payload) => {
            const [one, two] = await Promise.allSettled([
              step.run('one', () => `${String(payload)} one`),
              step.run('two', () => `${String(payload)} two`),
            ])
            step.log.info('goes on')
            await step.run('three', () => 3)
            return [one.status, two.status, two.status === 'rejected' && String(two.reason)]
          }),
        },
        { maxConcurrentRuns: 2 },
      )
      wire.intercept(refusing('bad two'))
      const runs = await jobs.job.batchTrigger(['bad', 'good'])
      const [bad, good] = await Promise.all(runs.map(({ id }) => durably.waitForRun(id)))
      const reason = 'RejectedWriteError: no room for this'
      expect(bad?.output).toEqual(['fulfilled', 'rejected', reason])
      expect(good?.output).toEqual(['fulfilled', 'fulfilled', false])
      const steps = await durably.getSteps(runs[0]?.id ?? '')
      expect(steps.map(({ status }) => status)).toEqual(['completed', 'failed', 'completed'])
    })

    test('of an output fails the run with the reason', async () => {
      const world = await open()
      const { jobs, wire, durably } = await world.work({ job: job(() => 'too much') })
      wire.intercept(refusing('too much'))
      const { id } = await jobs.job.trigger(null)
      await expect(durably.waitForRun(id)).rejects.toThrow('no room for this')
      expect(await durably.getRun(id)).toMatchObject({ status: 'failed', output: null })
    })

    test('of a trigger rejects it, and not those beside it', async () => {
      const world = await open()
      const { jobs, wire } = await world.work({ job: job((_, payload) => payload) })
      wire.intercept(refusing('too much'))
      const [bad, good] = await Promise.allSettled([
        jobs.job.trigger('too much'),
        jobs.job.triggerAndWait('fine'),
      ])
      expect(bad).toMatchObject({ status: 'rejected', reason: { name: 'RejectedWriteError' } })
      expect(good).toMatchObject({ status: 'fulfilled', value: { output: 'fine' } })
    })
  })

  test('errors while claiming cost one call per backoff, not a hot loop', async () => {
    const world = await open()
    const { jobs, wire, takeErrors, durably } = await world.work({ job: job(() => 1) })
    await world.advance(1000)
    wire.intercept(async (operation, proceed, request) => {
      if (operation === 'write' && (request as Batch).claim !== null) throw new Error('claim fails')
      return proceed()
    })
    const client = await world.join()
    const { job: handle } = client.durably.register({ job: job(() => 1) })
    const { id } = await handle.trigger(null)
    const before = wire.calls.get('write') ?? 0
    await world.advance(60_000)
    expect((wire.calls.get('write') ?? 0) - before).toBeLessThan(60)
    expect(takeErrors().length).toBeGreaterThan(0)
    wire.intercept(null)
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 1 })
    expect(jobs.job.name).toBe('job')
  })
})
