import { expect, test } from 'vitest'
import type { StepContext } from '../../../src/core/step-context.ts'
import { job, knowsWhoseCodeRuns, onEveryBackend } from './world.ts'

onEveryBackend((open) => {
  test.runIf(knowsWhoseCodeRuns)(
    'lines of parallel steps belong to the step that wrote them',
    async () => {
      const world = await open()
      const { jobs, durably } = await world.work({
        job: job(async (step) => {
          const meet = Promise.withResolvers<void>()
          const nested = async (): Promise<void> => {
            await Promise.resolve()
            step.log.info('a, deep')
          }
          step.log.info('job, before')
          await Promise.all([
            step.run('a', async (_, { log }) => {
              step.log.info('a, by context')
              await meet.promise
              log.info('a, by info')
              await nested()
            }),
            step.run('b', async () => {
              step.log.info('b, by context')
              meet.resolve()
              await Promise.resolve()
              step.log.info('b, later')
            }),
          ])
          step.log.info('job, after')
        }),
      })
      const { id } = await jobs.job.triggerAndWait(null)
      const lines = await durably.getLogs(id)
      for (const { stepName, message } of lines) {
        expect(message).toMatch(new RegExp(`^${stepName ?? 'job'}, `))
      }
      expect(lines).toHaveLength(7)
    },
  )

  test('a line has level, data, position and time', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) => {
        step.log.info('one')
        step.log.warn('two', { at: new Date(0) })
        step.log.error('three \0', undefined)
      }),
    })
    const { id } = await jobs.job.triggerAndWait(null)
    const timestamp = new Date(world.now()).toISOString()
    const common = { stepName: null, timestamp }
    expect(await durably.getLogs(id)).toEqual([
      { ...common, sequence: 3, level: 'info', message: 'one', data: null },
      { ...common, sequence: 4, level: 'warn', message: 'two', data: { at: new Date(0) } },
      { ...common, sequence: 5, level: 'error', message: 'three \0', data: null },
    ])
  })

  test('lines can be read after a position and in pages', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        for (let i = 0; i < 30; i++) {
          step.log.info(`line ${i}`)
          if (i % 10 === 9) await step.run(`step ${i}`, () => i)
        }
      }),
    })
    const { id } = await jobs.job.triggerAndWait(null)
    const all = await durably.getLogs(id)
    expect(all.map(({ message }) => message)).toEqual(all.map((_, i) => `line ${i}`))
    const seen: string[] = []
    let after = 0
    for (let pages = 0; pages < 10; pages++) {
      const page = await durably.getLogs(id, { after, limit: 7 })
      seen.push(...page.map(({ message }) => message))
      after = page.at(-1)?.sequence ?? after
    }
    expect(seen).toEqual(all.map(({ message }) => message))
    expect(await durably.getLogs(id, { limit: 0 })).toEqual([])
    await expect(durably.getLogs(id, { limit: -1 })).rejects.toThrow(
      /^limit must be a whole number/,
    )
    await expect(durably.getLogs(id, { after: 1.5 })).rejects.toThrow(
      /^after must be a whole number/,
    )
  })

  test('a line of a run that goes on is stored within 50 ms', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) => {
        step.log.info('soon')
        return new Promise(() => {})
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await world.advance(50)
    expect(await durably.getLogs(id)).toMatchObject([{ message: 'soon' }])
  })

  test('progress is stored within 100 ms, and its last value always', async () => {
    const world = await open()
    const goOn = Promise.withResolvers<void>()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        for (let i = 1; i <= 50; i++) step.progress(i, 100)
        await goOn.promise
        step.progress(100, 100, 'done')
      }),
    })
    const { id } = await jobs.job.trigger(null)
    await world.advance(100)
    expect(await durably.getRun(id)).toMatchObject({ progress: { current: 50, total: 100 } })
    goOn.resolve()
    const run = await durably.waitForRun(id)
    expect(run.progress).toEqual({ current: 100, total: 100, message: 'done' })
  })

  test('of lines and progress that are too long for anyone to read, the beginning is kept', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        step.log.info(`line ${'x'.repeat(2e6)}`)
        step.progress(1, 1, `progress ${'x'.repeat(2e6)}`)
      }),
    })
    const { id } = await jobs.job.triggerAndWait(null)
    const [line] = await durably.getLogs(id)
    expect(line?.message).toMatch(/^line x{524283}… \(2000005 characters\)$/)
    const run = await durably.getRun(id)
    expect(run?.progress?.message).toMatch(/^progress x{524279}… \(2000009 characters\)$/)
  })

  test('progress of an execution that is over is not told', async () => {
    const world = await open()
    const gates = [1, 2, 3].map(() => Promise.withResolvers<void>())
    const { jobs, durably } = await world.work({
      job: job(async (step) => {
        void gates[step.attempt]?.promise.then(() => step.progress(100 * step.attempt))
        step.progress(step.attempt)
        if (step.attempt === 1) await new Promise(() => {})
      }),
    })
    const told: number[] = []
    durably.on('run:progress', ({ progress }) => void told.push(progress.current))
    const { id } = await jobs.job.trigger(null)
    await world.advance(100)
    await durably.cancel(id)
    gates[1]?.resolve()
    await world.settle()
    await durably.retry(id)
    await durably.waitForRun(id)
    gates[2]?.resolve()
    await world.settle()
    expect(told).toEqual([1, 2])
  })

  test('many lines and steps of progress cost few writes', async () => {
    const world = await open()
    const { jobs, wire } = await world.work({
      job: job((step) => {
        for (let i = 0; i < 2000; i++) {
          step.log.info('line')
          step.progress(i)
        }
      }),
    })
    const before = wire.calls.get('write') ?? 0
    await jobs.job.triggerAndWait(null)
    expect((wire.calls.get('write') ?? 0) - before).toBeLessThanOrEqual(6)
  })

  test.each([
    ['a current that is no number', (step: StepContext) => step.progress(Number.NaN)],
    [
      'a total that is no number',
      (step: StepContext) => step.progress(1, Number.POSITIVE_INFINITY),
    ],
  ])('progress refuses %s', async (_, report) => {
    const world = await open()
    const { jobs, durably } = await world.work({ job: job(report) })
    const { id } = await jobs.job.trigger(null)
    await expect(durably.waitForRun(id)).rejects.toThrow(/^progress needs a finite number/)
  })

  test('what a finished job still logs is dropped', async () => {
    const world = await open()
    const late = Promise.withResolvers<void>()
    const { jobs, durably } = await world.work({
      job: job((step) => {
        void late.promise.then(() => {
          step.log.info('too late')
          step.progress(1)
        })
      }),
    })
    const { id } = await jobs.job.triggerAndWait(null)
    late.resolve()
    await world.advance(1000)
    expect(await durably.getLogs(id)).toEqual([])
    expect(await durably.getRun(id)).toMatchObject({ progress: null })
  })
})
