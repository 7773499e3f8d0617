import { expect, test } from 'vitest'
import { DuplicateStepError, ValidationError } from '../../../src/core/error.ts'
import type { StepInfo } from '../../../src/core/step-context.ts'
import { job, onEveryBackend } from './world.ts'

onEveryBackend((open) => {
  test('a step gives what its function returned', async () => {
    const world = await open()
    const double = job((step) => step.run('double', () => 42))
    const { jobs } = await world.work({ double })
    expect(await jobs.double.triggerAndWait(null)).toMatchObject({ output: 42 })
  })

  test('a run starts, steps and ends without time passing', async () => {
    const world = await open()
    const { jobs } = await world.work({ job: job((step) => step.run('step', () => 1)) })
    const before = world.now()
    await jobs.job.triggerAndWait(null)
    expect(world.now()).toBe(before)
  })

  test('a step resolves only when its result is stored', async () => {
    const world = await open()
    const results: string[] = []
    const { jobs, wire } = await world.work({
      job: job(async (step) => {
        results.push(await step.run('one', () => 'one'))
        results.push(await step.run('two', () => 'two'))
      }),
    })
    const seenAtEachWrite: string[][] = []
    wire.intercept(async (operation, proceed) => {
      const answer = await proceed()
      if (operation === 'write') seenAtEachWrite.push([...results])
      return answer
    })
    await jobs.job.triggerAndWait(null)
    // The claim, step one, step two, the end: what a write stores is seen only after it.
    expect(seenAtEachWrite).toEqual([[], [], ['one'], ['one', 'two']])
    expect(results).toEqual(['one', 'two'])
  })

  test('the first execution sees the decoded copy, as a replay would', async () => {
    const world = await open()
    const live = { list: [1], self: undefined as unknown }
    const { jobs } = await world.work({
      job: job(async (step) => {
        const got = await step.run('make', () => live)
        live.list.push(2)
        return got
      }),
    })
    const { output } = await jobs.job.triggerAndWait(null)
    expect(output).toEqual({ list: [1], self: undefined })
  })

  test('a name that completed cannot be used again', async () => {
    const world = await open()
    let executions = 0
    const { jobs } = await world.work({
      job: job(async (step) => {
        await step.run('same', () => executions++)
        return step.run('same', () => executions++).catch((error: unknown) => String(error))
      }),
    })
    const { output } = await jobs.job.triggerAndWait(null)
    expect(output).toMatch(/^DuplicateStepError: Step "same" was already called in run /)
    expect(executions).toBe(1)
  })

  test('a name that is executing cannot be used at the same time', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) => Promise.all([step.run('same', () => 1), step.run('same', () => 2)])),
    })
    const { id } = await jobs.job.trigger(null)
    await expect(durably.waitForRun(id)).rejects.toMatchObject({
      cause: expect.any(DuplicateStepError) as unknown,
    })
  })

  test('a name whose failure was caught may be tried again', async () => {
    const world = await open()
    const attempts: number[] = []
    const flaky = (_: AbortSignal, { attempt }: StepInfo): string => {
      attempts.push(attempt)
      if (attempt < 3) throw new Error(`attempt ${attempt}`)
      return 'at last'
    }
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        for (let i = 0; i < 2; i++) await step.run('flaky', flaky).catch(() => {})
        return step.run('flaky', flaky)
      }),
    })
    const { id, output } = await jobs.job.triggerAndWait(null)
    expect(output).toBe('at last')
    expect(attempts).toEqual([1, 2, 3])
    expect(await durably.getSteps(id)).toMatchObject([{ status: 'completed', attempts: 3 }])
  })

  test('parallel steps execute at the same time', async () => {
    const world = await open()
    const { promise, resolve } = Promise.withResolvers<string>()
    const { jobs } = await world.work({
      job: job((step) =>
        Promise.all([step.run('waits', () => promise), step.run('helps', () => resolve('met'))]),
      ),
    })
    expect(await jobs.job.triggerAndWait(null)).toMatchObject({ output: ['met', undefined] })
  })

  test('a step is told its attempt and a key that stays the same', async () => {
    const world = await open()
    const keys: string[] = []
    const { jobs } = await world.work({
      job: job(async (step) => {
        const note = (_: AbortSignal, { idempotencyKey, attempt }: StepInfo): void => {
          keys.push(idempotencyKey)
          if (attempt === 1) throw new Error('once')
        }
        await step.run('a', note).catch(() => {})
        await step.run('a', note)
        await step.run('b', (_, { idempotencyKey }) => keys.push(idempotencyKey))
      }),
    })
    await jobs.job.triggerAndWait(null)
    await jobs.job.triggerAndWait(null)
    expect(keys).toHaveLength(6)
    expect(keys[0]).toBe(keys[1])
    expect(new Set(keys).size).toBe(4)
  })

  test('the context knows its run', async () => {
    const world = await open()
    const { jobs } = await world.work({
      job: job(({ runId, attempt, abortSignal }) => [runId, attempt, abortSignal.aborted]),
    })
    const { id, output } = await jobs.job.triggerAndWait(null)
    expect(output).toEqual([id, 1, false])
  })

  test.each([
    ['an empty name', '', 'step name must not be empty'],
    ['NUL', 'a\0b', 'step name must not contain NUL'],
    ['half a surrogate pair', 'a\uD800', 'step name must not contain NUL or half a surrogate pair'],
    ['a name of 600 characters', 'x'.repeat(600), 'step name must be at most 512 characters'],
  ])('%s is no name for a step', async (_, name, message) => {
    const world = await open()
    const { jobs, durably } = await world.work({ job: job((step) => step.run(name, () => 1)) })
    const { id } = await jobs.job.trigger(null)
    const failure = durably.waitForRun(id)
    await expect(failure).rejects.toThrow(message)
    await expect(failure).rejects.toMatchObject({ cause: expect.any(ValidationError) as unknown })
  })

  test('getSteps tells names, places, outcomes and times', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        await step.run('good', () => ({ n: 1n }))
        await step.run('bad', () => Promise.reject(new Error('no'))).catch(() => {})
      }),
    })
    const { id } = await jobs.job.triggerAndWait(null)
    const at = new Date(world.now()).toISOString()
    const times = { attempts: 1, startedAt: at, completedAt: at }
    expect(await durably.getSteps(id)).toEqual([
      { name: 'good', index: 0, status: 'completed', output: { n: 1n }, error: null, ...times },
      { name: 'bad', index: 1, status: 'failed', output: null, error: 'no', ...times },
    ])
  })
})
