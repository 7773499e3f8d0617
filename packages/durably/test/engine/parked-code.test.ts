import { expect, test } from 'vitest'
import { z } from 'zod'
import { LeaseLostError } from '../../src/core/error.ts'
import { defineJob } from '../../src/core/job.ts'
import { createTestDurably } from '../../src/testing.ts'

test('of the last thousand parked runs the code stays; the one left alone for longest is replayed', async () => {
  const begun = new Map<string, number>()
  const dropped: unknown[] = []
  const waiting = defineJob({
    name: 'waiting',
    input: z.object({ name: z.string() }),
    run: async (step, { name }) => {
      begun.set(name, (begun.get(name) ?? 0) + 1)
      step.abortSignal.addEventListener('abort', () =>
        dropped.push([name, step.abortSignal.reason]),
      )
      await step.waitForSignal('go')
      return name
    },
  })
  const t = createTestDurably({ jobs: { waiting }, maxConcurrentRuns: 1000 })
  const names = Array.from({ length: 1001 }, (_, i) => `run ${i}`)
  const runs = await t.jobs.waiting.batchTrigger(names.map((name) => ({ name })))
  await t.advance(0)
  expect(dropped).toEqual([['run 0', expect.any(LeaseLostError)]])

  for (const run of [runs[0], runs[1]]) await t.durably.signal(run?.id ?? '', 'go')
  await t.advance(0)
  expect((await t.durably.getRun(runs[0]?.id ?? ''))?.output).toBe('run 0')
  expect((await t.durably.getRun(runs[1]?.id ?? ''))?.output).toBe('run 1')
  expect([begun.get('run 0'), begun.get('run 1')]).toEqual([2, 1])
})
