import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { StepContext } from '../../src/core/step-context.ts'
import { hostile, refusals } from './hostile.ts'
import { fuzzedBackends, openInstance } from './open-instance.ts'

/** What a job does with two values that no type could stop. */
type Deed = (step: StepContext, first: never, second: never) => unknown

const deeds: [name: string, deed: Deed][] = [
  ['names a step', (step, name) => step.run(name, () => 1)],
  ['runs what is no function', (step, fn) => step.run('step', fn)],
  ['returns from a step', (step, value) => step.run('step', () => value)],
  ['returns from steps side by side', (step, a, b) => pair(step, a, b)],
  ['returns', (_, value) => value],
  ['logs a message', (step, message, data) => step.log.info(message, data)],
  ['logs from a step', (step, text, data) => step.run('s', (_, { log }) => log.warn(text, data))],
  ['says how far it is', (step, current, total) => step.progress(current, total)],
  ['says what it does', (step, message) => step.progress(1, 2, message)],
]

function pair(step: StepContext, first: unknown, second: unknown): Promise<unknown> {
  return Promise.all([step.run('first', () => first), step.run('second', () => second)])
}

describe.each(fuzzedBackends)('$name, a job that', (backend) => {
  test.each(deeds)('%s ends, and says which value it was', async (_, deed) => {
    const { durably, add, check } = await openInstance(backend)
    let values: readonly [unknown, unknown] = [null, null]
    const job = add(async (step) => deed(step, values[0] as never, values[1] as never))
    await fc.assert(
      fc.asyncProperty(hostile(), hostile(), async (first, second) => {
        values = [first, second]
        const { id } = await job.trigger(null)
        await durably.waitForRun(id, { timeout: '10s' }).catch(() => {})
        const run = await durably.getRun(id)
        if (run?.status === 'failed') expect(refusals).toContain(run.errorDetail?.name)
        else expect(run?.status).toBe('completed')
        await readEverything(durably, id)
      }),
      { numRuns: 80 },
    )
    await check()
  })

  test('throws fails with whatever it threw, inside a step and outside', async () => {
    const { durably, add, check } = await openInstance(backend)
    let thrown: unknown
    const job = add((step, where) => (where === 'step' ? step.run('step', raise) : raise()))
    const raise = (): never => {
      throw thrown
    }
    await fc.assert(
      fc.asyncProperty(hostile(), fc.constantFrom('step', 'job'), async (value, where) => {
        thrown = value
        const { id } = await job.trigger(where)
        await expect(durably.waitForRun(id, { timeout: '10s' })).rejects.toThrow()
        expect(await durably.getRun(id)).toMatchObject({ status: 'failed' })
        await readEverything(durably, id)
      }),
      { numRuns: 80 },
    )
    await check()
  })

  test('keeps a value sees the same value first and ever after', async () => {
    const { durably, add, check } = await openInstance(backend)
    let value: unknown
    let seen: unknown[] = []
    const job = add(async (step) => {
      seen.push(await step.run('keep', () => value))
      if (seen.length === 1) throw new Error('once more')
    })
    await fc.assert(
      fc.asyncProperty(hostile(), async (given) => {
        value = given
        seen = []
        const { id } = await job.trigger(null)
        await durably.waitForRun(id, { timeout: '10s' }).catch(() => {})
        if (seen.length === 0) return
        await durably.retry(id)
        await durably.waitForRun(id, { timeout: '10s' })
        expect(seen[1]).toStrictEqual(seen[0])
        expect((await durably.getSteps(id))[0]?.output).toStrictEqual(seen[0])
      }),
      { numRuns: 150 },
    )
    await check()
  })
})

type Reader = Awaited<ReturnType<typeof openInstance>>['durably']

/** All that was stored of the run can be read again. */
async function readEverything(durably: Reader, runId: string): Promise<void> {
  await durably.getSteps(runId)
  await durably.getLogs(runId)
  for await (const event of durably.subscribe(runId)) expect(event.runId).toBe(runId)
}
