import { expect, test } from 'vitest'
import type { EngineOptions } from '../../../src/core/options.ts'
import { MINUTE } from './waiting-run.ts'
import { job, onEveryBackend, type World } from './world.ts'

/** A run in a process that died in the middle of a step. */
async function leaveBehind(world: World, options: EngineOptions) {
  const isStuck = { value: true }
  const recites = job(async (step) => {
    await step.run('one', () => 1)
    await step.run('two', () => (isStuck.value ? new Promise<void>(() => {}) : undefined))
    return 'done'
  })
  const first = await world.work({ job: recites }, options)
  const { id } = await first.jobs.job.trigger(null)
  await world.advance(100)
  isStuck.value = false
  return { first, recites, id }
}

onEveryBackend((open) => {
  test('who comes after a dead process of the same name takes up its runs at once', async () => {
    const world = await open()
    const { first, recites, id } = await leaveBehind(world, { workerName: 'server' })
    first.crash()
    const second = await world.work({ job: recites }, { workerName: 'server' })
    await world.advance(100)
    expect(await second.durably.getRun(id)).toMatchObject({ status: 'completed', attempt: 2 })
  })

  test.each([undefined, 'serve', 'server:2', 'other'])(
    'who has another name (%s) waits until the lease has run out',
    async (workerName) => {
      const world = await open()
      const { first, recites, id } = await leaveBehind(world, { workerName: 'server' })
      first.crash()
      const second = await world.work({ job: recites }, { workerName })
      await world.advance(10_000)
      expect(await second.durably.getRun(id)).toMatchObject({ status: 'running', attempt: 1 })
      await world.advance(MINUTE)
      expect(await second.durably.getRun(id)).toMatchObject({ status: 'completed', attempt: 2 })
    },
  )

  test('two that live with one name do each step once all the same', async () => {
    const world = await open()
    const executions: string[] = []
    const steps = job(async (step) => {
      for (const name of ['one', 'two', 'three']) {
        await step.run(name, async () => void executions.push(name))
        await step.sleep(`after ${name}`, '1s')
      }
    })
    const first = await world.work({ job: steps }, { workerName: 'server' })
    const { id } = await first.jobs.job.trigger(null)
    await world.advance(1500)
    const second = await world.work({ job: steps }, { workerName: 'server' })
    await world.advance(10_000)
    expect(await second.durably.getRun(id)).toMatchObject({ status: 'completed' })
    expect(executions).toEqual(['one', 'two', 'three'])
  })

  test('who starts beside a call of processUntilIdle in the same process leaves it its runs', async () => {
    const world = await open()
    const goOn = Promise.withResolvers<void>()
    const attempts: number[] = []
    const definition = job(async (step) => {
      attempts.push(step.attempt)
      await goOn.promise
      await step.run('one', () => 1)
    })
    const { durably } = await world.join({ workerName: 'server' })
    const handle = durably.register({ job: definition }).job
    await durably.migrate()
    const { id } = await world.until(handle.trigger(null))
    const processed = durably.processUntilIdle()
    await world.advance(100)
    durably.start()
    await world.advance(10_000)
    goOn.resolve()
    await world.until(processed)
    expect(await durably.getRun(id)).toMatchObject({ status: 'completed', attempt: 1 })
    expect(attempts).toEqual([1])
  })

  test('serverless calls, of which many may be under way, leave each other alone', async () => {
    const world = await open()
    const { recites, id } = await leaveBehind(world, { workerName: 'function' })
    const second = await world.join({ workerName: 'function' })
    second.durably.register({ job: recites })
    await world.until(second.durably.processUntilIdle())
    expect(await second.durably.getRun(id)).toMatchObject({ status: 'running', attempt: 1 })
  })
})
