import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { TimeoutError } from '../../../src/core/error.ts'
import { defineJob, type JobDefinition } from '../../../src/core/job.ts'
import { begin } from './waiting-run.ts'
import { onEveryBackend } from './world.ts'

const MAX_MS = 10_000

onEveryBackend((open) => {
  describe('maxDuration', () => {
    const limited = (run: JobDefinition['run']): JobDefinition =>
      defineJob({ name: 'limited', input: z.unknown(), maxDuration: '10s', run })

    test('fails a run that waits longer, and one that executes longer', async () => {
      const world = await open()
      const reasons: unknown[] = []
      const sleeping = await begin(
        world,
        limited((step) => step.sleep('s', '1d')),
      )
      const busy = limited((step) =>
        step.run('forever', (signal) => {
          signal.addEventListener('abort', () => reasons.push(signal.reason))
          return new Promise(() => {})
        }),
      )
      const other = await world.work({ busy: { ...busy, name: 'busy' } })
      const { id } = await world.until(other.jobs.busy.trigger(null))
      await world.advance(MAX_MS + 100)
      for (const run of [id, sleeping.id]) {
        expect(await other.durably.getRun(run)).toMatchObject({
          status: 'failed',
          error: expect.stringContaining('longer than the maxDuration') as string,
          errorDetail: { name: 'TimeoutError' },
        })
      }
      expect(reasons).toEqual([expect.any(TimeoutError)])
      expect(await other.durably.getSteps(sleeping.id)).toMatchObject([{ status: 'cancelled' }])
    })

    test('counts from the first start, over crashes, and anew after a retry', async () => {
      const world = await open()
      let executions = 0
      const sleeper = limited(async (step) => {
        executions++
        await step.sleep('s', '7s')
        await step.sleep('t', '7s')
      })
      const { crash, id } = await begin(world, sleeper)
      crash()
      const { durably } = await world.work({ job: sleeper })
      await world.advance(MAX_MS + 1100)
      expect(await durably.getRun(id)).toMatchObject({ status: 'failed' })
      expect(executions).toBe(2)
      await world.until(durably.retry(id))
      await world.advance(MAX_MS)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed' })
    })
  })
})
