import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../../src/core/job.ts'
import { onEveryBackend } from './world.ts'

type Schema = StandardSchemaV1<{ count: string }, { count: number }>

const counts: [library: string, schema: Schema, complaint: RegExp][] = [
  ['zod', z.object({ count: z.string().transform(Number) }), /^Invalid input: count: .*string/],
  [
    'valibot',
    v.object({ count: v.pipe(v.string(), v.transform(Number)) }),
    /^Invalid input: count: .*string/,
  ],
  ['arktype', type({ count: 'string.integer.parse' }), /^Invalid input: count: .*string/],
]

const asynchronous: Schema = z.object({
  count: z
    .string()
    .refine(async (text) => text !== '13', 'is unlucky')
    .transform(Number),
})

onEveryBackend((open) => {
  describe.each(counts)('%s', (_, input, complaint) => {
    const count = defineJob({ name: 'count', input, run: (_step, payload) => payload })

    test('what the schema makes of the input is stored and given to the job', async () => {
      const world = await open()
      const { jobs } = await world.work({ count })
      const { payload } = await jobs.count.trigger({ count: '7' })
      expect(payload).toEqual({ count: 7 })
      expect(await jobs.count.triggerAndWait({ count: '8' })).toMatchObject({
        output: { count: 8 },
      })
    })

    test('an input that it refuses is refused with the place and its words, and not stored', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({ count })
      const bad = { count: 7 } as unknown as { count: string }
      const refusal = jobs.count.trigger(bad)
      await expect(refusal).rejects.toThrow(complaint)
      await expect(refusal).rejects.toMatchObject({
        name: 'ValidationError',
        code: 'validation',
        issues: [{ path: ['count'] }],
      })
      await expect(jobs.count.triggerAndWait(bad)).rejects.toThrow(complaint)
      expect(await durably.getRuns()).toEqual([])
    })

    test('one bad item of a batch refuses all of it, and is named', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({ count })
      const bad = {} as unknown as { count: string }
      const batch = [{ count: '1' }, { input: { count: '2' } }, bad, { count: '4' }]
      await expect(jobs.count.batchTrigger(batch)).rejects.toThrow(
        /^at index 2: Invalid input: count/,
      )
      const wrapped = [{ count: '1' }, { input: bad }]
      await expect(jobs.count.batchTrigger(wrapped)).rejects.toThrow(/^at index 1: Invalid input: /)
      expect(await durably.getRuns()).toEqual([])
    })

    test('the output is what its schema makes of it', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({
        good: defineJob({
          name: 'good',
          input: z.null(),
          output: input,
          run: () => ({ count: '5' }),
        }),
      })
      const { id, output } = await jobs.good.triggerAndWait(null)
      expect(output).toEqual({ count: 5 })
      expect(await durably.getRun(id)).toMatchObject({ output: { count: 5 } })
    })

    test('an output that its schema refuses fails the run', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({
        bad: defineJob({
          name: 'bad',
          input: z.null(),
          output: input,
          run: () => ({ count: 5 as unknown as string }),
        }),
      })
      const { id } = await jobs.bad.trigger(null)
      await expect(durably.waitForRun(id)).rejects.toThrow(/^Invalid output: count: /)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'failed',
        errorDetail: { name: 'ValidationError' },
      })
    })
  })

  test('a schema may take its time', async () => {
    const world = await open()
    const { jobs } = await world.work({
      count: defineJob({ name: 'count', input: asynchronous, run: (_, { count }) => count }),
    })
    expect(await jobs.count.triggerAndWait({ count: '12' })).toMatchObject({ output: 12 })
    await expect(jobs.count.trigger({ count: '13' })).rejects.toThrow(
      'Invalid input: count: is unlucky',
    )
  })

  test('the payload is not parsed again when the run is executed, retried or retriggered', async () => {
    const world = await open()
    let parsed = 0
    const input = z.string().transform((text) => {
      parsed++
      return `${text}!`
    })
    let fails = true
    const { jobs, durably } = await world.work({
      job: defineJob({
        name: 'job',
        input,
        run(_, payload) {
          if (fails) throw new Error('not yet')
          return payload
        },
      }),
    })
    const { id } = await jobs.job.trigger('hey')
    await durably.waitForRun(id).catch(() => {})
    fails = false
    await durably.retry(id)
    expect(await durably.waitForRun(id)).toMatchObject({ output: 'hey!' })
    const again = await durably.retrigger(id)
    expect(await durably.waitForRun(again.id)).toMatchObject({ output: 'hey!' })
    expect(parsed).toBe(1)
  })
})
