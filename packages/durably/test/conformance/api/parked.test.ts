import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { CancelledError } from '../../../src/core/error.ts'
import type { DurablyEvent } from '../../../src/core/event.ts'
import { defineJob } from '../../../src/core/job.ts'
import { begin, MINUTE } from './waiting-run.ts'
import { hold, isEnding } from './wire.ts'
import { job, onEveryBackend, type World } from './world.ts'

onEveryBackend((open) => {
  describe('a run that waits', () => {
    test('is cancelled at once, and its code does not go on', async () => {
      const world = await open()
      const log: string[] = []
      const waiting = job(async (step) => {
        step.abortSignal.addEventListener('abort', () => log.push('aborted'))
        try {
          await step.waitForSignal('go')
        } finally {
          log.push('finally')
        }
      })
      const { durably, id } = await begin(world, waiting)
      await world.until(durably.cancel(id))
      await world.advance(1100)
      expect(await durably.getRun(id)).toMatchObject({ status: 'cancelled', waitingFor: null })
      expect(await durably.getSteps(id)).toMatchObject([{ name: 'go', status: 'cancelled' }])
      expect(log).toEqual(['aborted'])
      await world.until(durably.retry(id))
      await world.until(durably.signal(id, 'go'))
      await world.advance(100)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed' })
    })

    test('beside a step sees its cancellation', async () => {
      const world = await open()
      const seen: unknown[] = []
      const waiting = job(async (step) => {
        const work = step.run(
          'work',
          (signal) =>
            new Promise((_, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason))
            }),
        )
        await Promise.all([
          work,
          step.waitForSignal('go').catch((error: unknown) => seen.push(error)),
        ])
      })
      const { durably, id } = await begin(world, waiting)
      await world.until(durably.cancel(id))
      await world.advance(10)
      expect(seen).toEqual([expect.any(CancelledError)])
    })

    describe('and is about to be given up', () => {
      /** A run that may take ten seconds at most; it has come to a sleep, behind another write that is under way. */
      async function beginParking(world: World) {
        const outside = Promise.withResolvers<void>()
        const sleeper = defineJob({
          name: 'job',
          input: z.unknown(),
          maxDuration: '10s',
          run: async (step) => {
            await outside.promise
            await step.sleep('s', '1d')
          },
        })
        const process = await begin(world, sleeper)
        const client = await world.join()
        const write = hold((operation) => operation === 'write')
        process.wire.intercept(write.intercept)
        const other = process.jobs.job.trigger(null, { delay: '2d' })
        await world.until(write.reached)
        outside.resolve()
        await world.settle()
        return { ...process, client, other, letGo: write.open }
      }

      function statusesOf(events: readonly DurablyEvent[], id: string): string[] {
        const types = events.filter(({ runId }) => runId === id).map(({ type }) => type)
        return types.filter((type) => type.startsWith('run:'))
      }

      test('ends all the same when it has taken too long', async () => {
        const world = await open()
        const { client, id, events, other, letGo, takeErrors } = await beginParking(world)
        const failure = expect(other).rejects.toThrow('has not answered')
        await world.advance(10_100)
        takeErrors()
        letGo()
        await failure
        await world.advance(MINUTE)
        expect(await client.durably.getRun(id)).toMatchObject({ status: 'failed' })
        expect(statusesOf(events, id)).toEqual(['run:trigger', 'run:start', 'run:fail'])
      })

      test('is handed back all the same when its worker stops', async () => {
        const world = await open()
        const { client, durably, id, events, other, letGo } = await beginParking(world)
        const stopped = durably.stop({ timeout: 0 })
        await world.advance(100)
        letGo()
        await world.until(Promise.all([stopped, other]))
        expect(await client.durably.getRun(id)).toMatchObject({ status: 'pending' })
        expect(statusesOf(events, id)).toEqual(['run:trigger', 'run:start', 'run:release'])
      })
    })

    test('keeps its last progress, though it is sent something as it is given up', async () => {
      const world = await open()
      const outside = Promise.withResolvers<void>()
      const waiting = job(async (step) => {
        await outside.promise
        step.progress(1, 2)
        await step.waitForSignal('go')
        await new Promise(() => {})
      })
      const { durably, id, wire } = await begin(world, waiting)
      const parking = hold((_, request) => isEnding(request, 'park'))
      wire.intercept(parking.intercept)
      outside.resolve()
      await world.until(parking.reached)
      const client = await world.join()
      await world.until(client.durably.signal(id, 'go'))
      parking.open()
      await world.advance(1000)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'running',
        progress: { current: 1, total: 2 },
      })
    })

    test('closes its open waits when it ends', async () => {
      const world = await open()
      const racer = job(async (step) => {
        const winner = await Promise.race([
          step.run('fast', () => 'step'),
          step.sleep('slow', '1m').then(() => 'sleep'),
          step.waitForSignal('never').then(() => 'signal'),
        ])
        return winner
      })
      const { jobs, durably, events } = await world.work({ racer })
      const { id, output } = await world.until(jobs.racer.triggerAndWait(null))
      expect(output).toBe('step')
      expect(await durably.getSteps(id)).toMatchObject([
        { name: 'fast', status: 'completed' },
        { name: 'slow', status: 'cancelled' },
        { name: 'never', status: 'cancelled' },
      ])
      expect(events.filter(({ type }) => type === 'step:cancel')).toHaveLength(2)
    })

    test('does not hold up a drain, and goes on elsewhere', async () => {
      const world = await open()
      const log: string[] = []
      const waiting = job(async (step) => {
        log.push('code')
        return step.waitForSignal('go')
      })
      const { durably, id } = await begin(world, waiting)
      await world.until(durably.stop())
      const other = await world.work({ job: waiting })
      await world.until(other.durably.signal(id, 'go', 1))
      await world.advance(1100)
      expect(await other.durably.getRun(id)).toMatchObject({ status: 'completed', output: 1 })
      expect(log).toEqual(['code', 'code'])
    })

    test('gets its slot back when its code goes on by itself', async () => {
      const world = await open()
      const outside = Promise.withResolvers<void>()
      const impatient = job(async (step) => {
        void step.sleep('long', '1d')
        await outside.promise
        return step.run('after', () => 'went on')
      })
      const { durably, id, events } = await begin(world, impatient)
      expect(await durably.getRun(id)).toMatchObject({ status: 'waiting' })
      outside.resolve()
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 'went on' })
      expect(events.filter(({ type }) => type === 'run:wake')).toMatchObject([{ reason: 'asked' }])
    })

    test('ends when its code ends, though it was parked', async () => {
      const world = await open()
      const outside = Promise.withResolvers<void>()
      const impatient = job(async (step) => {
        void step.sleep('long', '1d')
        await outside.promise
        step.log.info('kept')
        return 'ended'
      })
      const { durably, id } = await begin(world, impatient)
      outside.resolve()
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 'ended' })
      expect(await durably.getLogs(id)).toMatchObject([{ message: 'kept' }])
    })

    test('replays a race of a step, a sleep and a signal as it was', async () => {
      const world = await open()
      const outcomes: string[] = []
      const racer = job(async (step) => {
        const winner = await Promise.race([
          step.waitForSignal('s').then(() => 'signal'),
          step.sleep('t', '20s').then(() => 'sleep'),
          step.sleep('u', '40s').then(() => 'late'),
        ])
        outcomes.push(winner)
        await step.sleep('pause', '1m')
        return winner
      })
      const { durably, id, crash } = await begin(world, racer)
      await world.until(durably.signal(id, 's'))
      await world.advance(1000)
      crash()
      const other = await world.work({ job: racer })
      await world.advance(2 * MINUTE)
      expect(outcomes).toEqual(['signal', 'signal'])
      expect(await other.durably.getRun(id)).toMatchObject({
        status: 'completed',
        output: 'signal',
      })
    })
  })
})
