import { describe, expect, test } from 'vitest'
import { ConflictError, NotFoundError, ValidationError } from '../../../src/core/error.ts'
import { inMemory, job, onEveryBackend, testAtScale, type World } from './world.ts'

/** Runs of each status, each under its name. */
async function runsOfEachStatus(world: World) {
  const worker = await world.work({
    job: job((_, payload) => {
      if (payload === 'failed') throw new Error('as told')
      return payload === 'running' ? new Promise(() => {}) : payload
    }),
  })
  const { jobs, durably } = worker
  const completed = (await jobs.job.triggerAndWait('completed')).id
  const failed = (await jobs.job.trigger('failed')).id
  await durably.waitForRun(failed).catch(() => {})
  const running = (await jobs.job.trigger('running')).id
  const pending = (await jobs.job.trigger('pending')).id
  const cancelled = (await jobs.job.trigger('cancelled')).id
  await durably.cancel(cancelled)
  await world.settle()
  return { ...worker, ids: { pending, running, completed, failed, cancelled } }
}

onEveryBackend((open) => {
  describe('retry', () => {
    test('keeps completed steps and forgets failures, caught ones too', async () => {
      const world = await open()
      const executed: string[] = []
      const looked = Promise.withResolvers<void>()
      let healthy = false
      const { jobs, durably } = await world.work({
        job: job(async (step) => {
          const log = (name: string) => async () => {
            executed.push(name)
            if (healthy) await looked.promise
            else if (name !== 'good') throw new Error(name)
            return name
          }
          const good = await step.run('good', log('good'))
          const caught = await step.run('caught', log('caught')).catch(() => 'fallback')
          return [good, caught, await step.run('fatal', log('fatal'))]
        }),
      })
      const { id } = await jobs.job.trigger(null)
      await durably.waitForRun(id).catch(() => {})
      healthy = true
      await durably.retry(id)
      expect(await durably.getRun(id)).toMatchObject({ attempt: 2, error: null, completedAt: null })
      looked.resolve()
      const run = await durably.waitForRun(id)
      expect(run.output).toEqual(['good', 'caught', 'fatal'])
      expect(executed).toEqual(['good', 'caught', 'fatal', 'caught', 'fatal'])
      expect(run).toMatchObject({ id, attempt: 2, error: null, errorDetail: null })
      const places = (await durably.getSteps(id)).map(({ name, index }) => [name, index])
      expect(places).toEqual([
        ['good', 0],
        ['caught', 1],
        ['fatal', 2],
      ])
    })

    test('of a cancelled run goes on where it was', async () => {
      const world = await open()
      let executions = 0
      const { jobs, durably } = await world.work({
        job: job(async (step) => {
          await step.run('once', () => executions++)
          if (step.attempt === 1) await step.run('hangs', () => new Promise(() => {}))
          return executions
        }),
      })
      const { id } = await jobs.job.trigger(null)
      await world.settle()
      await durably.cancel(id)
      await durably.retry(id)
      expect(await durably.waitForRun(id)).toMatchObject({ output: 1 })
    })

    test('by another process is heard by the worker', async () => {
      const world = await open()
      const { ids } = await runsOfEachStatus(world)
      const client = await world.join()
      await client.durably.retry(ids.cancelled)
      const worker = await world.work({ job: job(() => 'retried') })
      expect(await world.until(worker.durably.waitForRun(ids.cancelled))).toMatchObject({
        output: 'retried',
      })
    })

    test.each(['pending', 'running', 'completed'] as const)(
      'is refused for a %s run',
      async (status) => {
        const world = await open()
        const { durably, ids } = await runsOfEachStatus(world)
        await expect(durably.retry(ids[status])).rejects.toThrow(
          new ConflictError(`Cannot retry ${status} run: ${ids[status]}`),
        )
      },
    )
  })

  describe('deleteRun', () => {
    test('removes the run with its steps and logs, and frees its idempotency key', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({
        job: job(async (step) => {
          step.log.info('line')
          await step.run('step', () => 1)
        }),
      })
      const options = { idempotencyKey: 'once', labels: { a: 'b' } }
      const { id } = await jobs.job.trigger(null, options)
      await durably.waitForRun(id)
      await durably.deleteRun(id)
      expect(await durably.getRun(id)).toBeNull()
      expect(await durably.getSteps(id)).toEqual([])
      expect(await durably.getLogs(id)).toEqual([])
      expect(await durably.getRuns({ labels: { a: 'b' } })).toEqual([])
      const again = await jobs.job.trigger(null, options)
      expect(again).toMatchObject({ disposition: 'created' })
      expect(again.id).not.toBe(id)
    })

    test.each(['pending', 'running'] as const)('is refused for a %s run', async (status) => {
      const world = await open()
      const { durably, ids } = await runsOfEachStatus(world)
      await expect(durably.deleteRun(ids[status])).rejects.toThrow(
        new ConflictError(`Cannot delete ${status} run: ${ids[status]}`),
      )
    })

    test.each(['completed', 'failed', 'cancelled'] as const)('removes a %s run', async (status) => {
      const world = await open()
      const { durably, ids } = await runsOfEachStatus(world)
      await durably.deleteRun(ids[status])
      await expect(durably.deleteRun(ids[status])).rejects.toThrow(`Run not found: ${ids[status]}`)
    })
  })

  describe('retrigger', () => {
    test('makes a new run with the same payload, labels and concurrency key', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({ job: job((_, payload) => payload) })
      const options = {
        labels: { tenant: 'a' },
        concurrencyKey: 'k',
        idempotencyKey: 'once',
        priority: 5,
      }
      const first = await jobs.job.trigger({ at: new Date(1) }, options)
      await durably.waitForRun(first.id)
      const second = await durably.retrigger(first.id)
      expect(second.id).not.toBe(first.id)
      expect(second).toMatchObject({ ...options, idempotencyKey: null, status: 'pending' })
      expect(await durably.waitForRun(second.id)).toMatchObject({ output: { at: new Date(1) } })
    })

    test.each(['pending', 'running', 'completed', 'failed', 'cancelled'] as const)(
      'takes a %s run',
      async (status) => {
        const world = await open()
        const { durably, ids } = await runsOfEachStatus(world)
        expect(await durably.retrigger(ids[status])).toMatchObject({
          payload: status,
          status: 'pending',
        })
      },
    )
  })

  test.each(['retry', 'deleteRun', 'retrigger', 'cancel'] as const)(
    '%s of a run that is not there is refused, and of no id at all',
    async (action) => {
      const world = await open()
      const { durably } = await world.join()
      await expect(durably[action]('nobody')).rejects.toThrow(
        new NotFoundError('Run not found: nobody'),
      )
      await expect(durably[action](undefined as unknown as string)).rejects.toThrow(
        new ValidationError('run id must be a string; got undefined'),
      )
    },
  )

  describe('in bulk', () => {
    test('cancelRuns cancels what is active and matches', async () => {
      const world = await open()
      const { durably, jobs, ids } = await runsOfEachStatus(world)
      const { id: labelled } = await jobs.job.trigger('x', { labels: { a: 'b' } })
      expect(await durably.cancelRuns({ labels: { a: 'b' } })).toBe(1)
      expect(await durably.cancelRuns({ jobName: 'another' })).toBe(0)
      expect(await durably.cancelRuns({ status: 'pending' })).toBe(1)
      expect(await durably.cancelRuns({})).toBe(1)
      const statuses = (await durably.getRuns()).map(({ id, status }) => [id, status])
      expect(new Map(statuses as [string, string][])).toEqual(
        new Map([
          [labelled, 'cancelled'],
          [ids.pending, 'cancelled'],
          [ids.running, 'cancelled'],
          [ids.cancelled, 'cancelled'],
          [ids.failed, 'failed'],
          [ids.completed, 'completed'],
        ]),
      )
    })

    test('retryRuns retries what failed or was cancelled', async () => {
      const world = await open()
      const { durably, ids } = await runsOfEachStatus(world)
      await durably.cancel(ids.running)
      expect(await durably.retryRuns({ status: 'failed' })).toBe(1)
      await durably.waitForRun(ids.failed).catch(() => {})
      expect(await durably.retryRuns({ status: ['completed', 'pending'] })).toBe(0)
      expect(await durably.retryRuns({ before: new Date(world.now()) })).toBe(0)
      expect(await durably.retryRuns({ before: new Date(world.now() + 1) })).toBe(3)
    })

    test('purgeRuns deletes what ended before a time', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({ job: job(() => 1) })
      for (let i = 0; i < 5; i++) {
        await jobs.job.triggerAndWait(i)
        await world.advance(1000)
      }
      const before = new Date(world.now() - 2500)
      expect(await durably.purgeRuns({ before })).toBe(3)
      expect((await durably.getRuns()).map(({ payload }) => payload)).toEqual([4, 3])
      expect(await durably.purgeRuns({ status: 'failed' })).toBe(0)
      expect(await durably.purgeRuns({})).toBe(2)
    })

    testAtScale('bulk work is done in pages, however many runs there are', async () => {
      const world = await open()
      const { durably } = await world.join()
      const { many } = durably.register({ many: job(() => 1) })
      await many.batchTrigger(Array.from({ length: 210 }, (_, i) => i))
      expect(await durably.cancelRuns({ jobName: 'job' })).toBe(210)
      expect(await durably.purgeRuns({})).toBe(210)
      expect(await durably.getRuns()).toEqual([])
    })

    test('bulk work lets whatever else there is to do have its turn', async () => {
      const world = await open()
      const { durably, env } = await world.join()
      const { many } = durably.register({ many: job(() => 1) })
      await many.batchTrigger(Array.from({ length: 50 }, (_, i) => i))
      let turns = 0
      let isDone = false
      const turn = (): void => {
        turns++
        if (!isDone && turns < 100_000) env.turn(turn)
      }
      env.turn(turn)
      expect(await durably.cancelRuns({})).toBe(50)
      expect(turns).toBeGreaterThanOrEqual(50)
      expect(await durably.retryRuns({})).toBe(50)
      expect(turns).toBeGreaterThanOrEqual(100)
      isDone = true
    })

    test('active runs cannot be purged, and a bad filter is named', async () => {
      const world = await open()
      const { durably } = await world.join()
      for (const act of [durably.cancelRuns, durably.retryRuns, durably.purgeRuns]) {
        const unknown = { labels: { tenant: undefined } } as never
        await expect(act(unknown)).rejects.toThrow('label "tenant" must be a string; got undefined')
        await expect(act({ status: [] })).rejects.toThrow('status must name at least one')
      }
      await expect(durably.purgeRuns({ status: 'running' })).rejects.toThrow(
        'only runs that ended can be purged; got status running',
      )
      const before = new Date(Number.NaN)
      await expect(durably.cancelRuns({ before })).rejects.toThrow(/^before must be a valid Date/)
      for (const name of ['job', 'limit', 'offset', 'cursor']) {
        const filter = { [name]: 1 } as object
        await expect(durably.retryRuns(filter)).rejects.toThrow(`unknown filter "${name}"`)
        await expect(durably.purgeRuns(filter)).rejects.toThrow(`unknown filter "${name}"`)
      }
    })
  })

  testAtScale('runs older than retainRuns are deleted while a worker works', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ job: job(() => 1) }, { retainRuns: '5m' })
    const { id } = await jobs.job.trigger(null, { idempotencyKey: 'once' })
    await world.advance(290_000)
    expect(await durably.getRun(id)).not.toBeNull()
    await world.advance(80_000)
    expect(await durably.getRun(id)).toBeNull()
    expect(await jobs.job.trigger(null, { idempotencyKey: 'once' })).toMatchObject({
      disposition: 'created',
    })
  })
})

inMemory((open) => {
  test('who follows lists is told that runs were purged, by a call or for their age', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({ job: job(() => 1) }, { retainRuns: '5m' })
    const changes = durably.subscribeRuns().getReader()
    await world.until(jobs.job.triggerAndWait(null))
    for (let i = 0; i < 3; i++) await changes.read()
    await world.until(durably.purgeRuns({}))
    expect((await changes.read()).value).toEqual({ type: 'run:changed', runId: null })
    await world.until(jobs.job.triggerAndWait(null))
    for (let i = 0; i < 3; i++) await changes.read()
    await world.advance(370_000)
    expect((await changes.read()).value).toEqual({ type: 'run:changed', runId: null })
    await changes.cancel()
  })
})
