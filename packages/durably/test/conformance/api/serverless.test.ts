import { expect, test } from 'vitest'
import { hold } from './wire.ts'
import { job, onEveryBackend } from './world.ts'

const echo = job((_, payload) => payload, 'echo')

onEveryBackend((open) => {
  test('processUntilIdle executes what is due and tells how much', async () => {
    const world = await open()
    const { durably } = await world.join({ jobs: { echo } })
    const handle = durably.getJob('echo')
    await handle?.batchTrigger([1, 2, 3])
    await handle?.trigger(4, { delay: '1m' })
    expect(await world.until(durably.processUntilIdle())).toEqual({ executed: 3 })
    const statuses = (await durably.getRuns()).map(({ status }) => status)
    expect(statuses).toEqual(['pending', 'completed', 'completed', 'completed'])
    expect(await world.until(durably.processUntilIdle())).toEqual({ executed: 0 })
  })

  test('it takes what its own runs trigger', async () => {
    const world = await open()
    const { durably } = await world.join()
    const { countdown } = durably.register({
      countdown: job(async (step, payload) => {
        const left = payload as number
        if (left > 0) await step.run('next', async () => void (await next(left - 1)))
      }),
    })
    const next = (left: number): Promise<unknown> => countdown.trigger(left)
    await countdown.trigger(4)
    expect(await world.until(durably.processUntilIdle())).toEqual({ executed: 5 })
  })

  test('also where one was about to end as it looked', async () => {
    const world = await open()
    const { durably, wire } = await world.join()
    const goOn = Promise.withResolvers<void>()
    const { parent, child } = durably.register({
      parent: job(async (step) => {
        await goOn.promise
        await step.run('trigger', async () => void (await child.trigger(null)))
      }, 'parent'),
      child: job(() => 1, 'child'),
    })
    await parent.trigger(null)
    const looking = hold((operation) => operation === 'look', 'after')
    wire.intercept(looking.intercept)
    const processed = durably.processUntilIdle()
    await world.until(looking.reached)
    goOn.resolve()
    await world.advance(100)
    looking.open()
    expect(await world.until(processed)).toEqual({ executed: 2 })
  })

  test('maxRuns bounds what it takes', async () => {
    const world = await open()
    const { durably } = await world.join({ maxConcurrentRuns: 3 })
    const { echo: handle } = durably.register({ echo })
    await handle.batchTrigger([1, 2, 3, 4, 5])
    expect(await world.until(durably.processUntilIdle({ maxRuns: 2 }))).toEqual({ executed: 2 })
    expect(await durably.getRuns({ status: 'pending' })).toHaveLength(3)
    expect(await world.until(durably.processUntilIdle({ maxRuns: 100 }))).toEqual({ executed: 3 })
  })

  test('maxTime hands back what is not over then', async () => {
    const world = await open()
    const { durably } = await world.join()
    const { slow } = durably.register({
      slow: job((step) => (step.attempt === 1 ? new Promise(() => {}) : undefined), 'slow'),
    })
    const { id } = await slow.trigger(null)
    const before = world.now()
    await world.until(durably.processUntilIdle({ maxTime: '2s' }))
    expect(world.now() - before).toBeLessThanOrEqual(2100)
    expect(await durably.getRun(id)).toMatchObject({ status: 'pending', attempt: 1 })
  })

  test('it may run in several processes at once, and beside a worker', async () => {
    const world = await open()
    let executions = 0
    const counting = job(() => void executions++, 'counting')
    const one = await world.join({ jobs: { counting } })
    const other = await world.join({ jobs: { counting } })
    await one.durably.getJob('counting')?.batchTrigger(Array.from({ length: 30 }, (_, i) => i))
    const done = await world.until(
      Promise.all([
        one.durably.processUntilIdle(),
        other.durably.processUntilIdle(),
        one.durably.processUntilIdle(),
      ]),
    )
    expect(done.reduce((sum, { executed }) => sum + executed, 0)).toBe(30)
    expect(executions).toBe(30)
  })

  test('it continues the run of a process that died', async () => {
    const world = await open()
    const definition = job(({ attempt }) =>
      attempt === 1 ? new Promise<void>(() => {}) : undefined,
    )
    const doomed = await world.join({ jobs: { definition } })
    const { id } = (await doomed.durably.getJob('job')?.trigger(null)) ?? { id: '' }
    void doomed.durably.processUntilIdle()
    await world.settle()
    doomed.crash()
    await world.advance(31_000)
    const { durably } = await world.join({ jobs: { definition } })
    expect(await world.until(durably.processUntilIdle())).toEqual({ executed: 1 })
    expect(await durably.getRun(id)).toMatchObject({ status: 'completed', attempt: 2 })
  })

  test.each([
    ['maxRuns', { maxRuns: 0 }, /^maxRuns must be a whole number/],
    ['maxTime', { maxTime: -1 }, /^maxTime must be a duration/],
  ])('a bad %s is refused', async (_, options, message) => {
    const world = await open()
    const { durably } = await world.join()
    await expect(durably.processUntilIdle(options)).rejects.toThrow(message)
  })
})
