import { describe, expect, test } from 'vitest'
import { ConflictError, NotFoundError } from '../../../src/core/error.ts'
import { begin, MINUTE } from './waiting-run.ts'
import { hold, isEnding } from './wire.ts'
import { job, onEveryBackend, START, type World } from './world.ts'

onEveryBackend((open) => {
  describe('sleep', () => {
    test('that is over before it is stored that the run sleeps goes on without a poll', async () => {
      const world = await open()
      const outside = Promise.withResolvers<void>()
      const sleeper = job(async (step) => {
        await outside.promise
        await step.sleep('nap', 20)
        return world.now()
      })
      const worker = await world.work({ job: sleeper }, { pollingInterval: '1m' })
      const { id } = await world.until(worker.jobs.job.trigger(null))
      await world.advance(100)
      const parking = hold((_, request) => isEnding(request, 'park'), 'after')
      worker.wire.intercept(parking.intercept)
      outside.resolve()
      await world.until(parking.reached)
      await world.advance(50)
      const over = world.now()
      parking.open()
      await world.advance(1000)
      const run = await worker.durably.getRun(id)
      expect(run).toMatchObject({ status: 'completed' })
      expect(Number(run?.output) - over).toBeLessThanOrEqual(50)
    })

    test('parks the run, says until when, and goes on then without executing anything again', async () => {
      const world = await open()
      const log: string[] = []
      const sleeper = job(async (step) => {
        log.push('code')
        await step.run('before', () => log.push('before'))
        await step.sleep('night', '2m')
        log.push('awake')
        return world.now() - START
      })
      const { durably, id, events } = await begin(world, sleeper)
      const until = '2027-01-01T00:02:00.000Z'
      expect(await durably.getRun(id)).toMatchObject({
        status: 'waiting',
        waitingFor: [{ kind: 'sleep', name: 'night', until }],
      })
      expect(await durably.getSteps(id)).toMatchObject([
        { name: 'before', index: 0, status: 'completed' },
        { name: 'night', index: 1, status: 'waiting' },
      ])
      await world.advance(2 * MINUTE)
      const run = await durably.getRun(id)
      expect(run).toMatchObject({ status: 'completed', waitingFor: null, attempt: 1 })
      expect(run?.output).toBeGreaterThanOrEqual(2 * MINUTE)
      expect(run?.output).toBeLessThan(2 * MINUTE + 100)
      expect(log).toEqual(['code', 'before', 'awake'])
      expect(events.map(({ type }) => type).filter((type) => /wait|wake|start/.test(type))).toEqual(
        ['run:start', 'step:start', 'step:wait', 'run:wait', 'run:wake', 'run:start'],
      )
    })

    test('until a date of the past ends at once, and of zero too', async () => {
      const world = await open()
      const sleeper = job(async (step) => {
        await step.sleepUntil('past', new Date(0))
        await step.sleep('nothing', 0)
        return world.now() - START
      })
      const { jobs } = await world.work({ sleeper })
      const { output } = await world.until(jobs.sleeper.triggerAndWait(null))
      expect(output).toBeLessThan(100)
    })

    test('ends early when it is woken; nothing else can be', async () => {
      const world = await open()
      const { durably, id } = await begin(
        world,
        job((step) => step.sleep('night', '30d')),
      )
      await expect(world.until(durably.wake(id, 'day'))).rejects.toThrow(ConflictError)
      await expect(world.until(durably.wake('nobody', 'night'))).rejects.toThrow(NotFoundError)
      await world.until(durably.wake(id, 'night'))
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed' })
      await expect(world.until(durably.wake(id, 'night'))).rejects.toThrow(ConflictError)
    })

    test('ends when it begins if it was woken before, while its run executed', async () => {
      const world = await open()
      const gate = Promise.withResolvers<void>()
      const sleeper = job(async (step) => {
        await step.run('work', () => gate.promise)
        await step.sleep('night', '30d')
      })
      const { durably, id } = await begin(world, sleeper)
      expect(await durably.getRun(id)).toMatchObject({ status: 'running' })
      await world.until(durably.wake(id, 'night'))
      await world.until(durably.wake(id, 'day'))
      gate.resolve()
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed' })
    })

    test('goes on in another process when its own has died, at the time fixed at first', async () => {
      const world = await open()
      const log: string[] = []
      const sleeper = job(async (step) => {
        await step.run('before', () => log.push('before'))
        await step.sleep('night', '2m')
        return world.now() - START
      })
      const first = await begin(world, sleeper)
      first.crash()
      await world.advance(MINUTE)
      const { durably } = await world.work({ job: sleeper })
      await world.advance(2 * MINUTE)
      const run = await durably.getRun(first.id)
      expect(run).toMatchObject({ status: 'completed', attempt: 1 })
      expect(run?.output).toBeLessThan(2 * MINUTE + 1100)
      expect(log).toEqual(['before'])
    })

    test('holds the concurrency key of its run, and no slot', async () => {
      const world = await open()
      const sleeper = job((step) => step.sleep('night', '1m'))
      const { jobs, durably } = await world.work({ sleeper, other: job(() => 1, 'other') })
      await world.until(jobs.sleeper.trigger(null, { concurrencyKey: 'k' }))
      const second = await world.until(jobs.other.trigger(null, { concurrencyKey: 'k' }))
      await world.advance(1000)
      expect(await durably.getRun(second.id)).toMatchObject({ status: 'pending' })
      expect(await world.until(jobs.other.triggerAndWait(null))).toMatchObject({ output: 1 })
      await world.advance(MINUTE)
      expect(await durably.getRun(second.id)).toMatchObject({ status: 'completed' })
    })

    test('beside a step that executes ends in place', async () => {
      const world = await open()
      const both = job(async (step) => {
        const order: string[] = []
        await Promise.all([
          step.sleep('short', 100).then(() => order.push('sleep')),
          step
            .run('long', () => new Promise((resolve) => setTimeoutIn(world, 500, resolve)))
            .then(() => order.push('step')),
        ])
        return order
      })
      const { jobs, events } = await world.work({ both })
      expect(await world.until(jobs.both.triggerAndWait(null))).toMatchObject({
        output: ['sleep', 'step'],
      })
      expect(events.some(({ type }) => type === 'run:wait')).toBe(false)
    })
  })
})

function setTimeoutIn(world: World, ms: number, fn: (value: unknown) => void): void {
  world.createEnv().after(ms, () => fn(null))
}
