import { expect, test } from 'vitest'
import { readAll } from './read-all.ts'
import { job, onEveryBackend } from './world.ts'

// More than a page of any read, and than one commit takes.
const STEPS = 1100

onEveryBackend((open) => {
  test('a run of many steps is replayed, listed and followed whole', async () => {
    const world = await open()
    let executions = 0
    const names = Array.from({ length: STEPS }, (_, i) => `step ${i}`)
    const definition = job(async (step) => {
      const results = await Promise.all(names.map((name) => step.run(name, () => ++executions)))
      if (step.attempt === 1) await new Promise(() => {})
      return results.length
    })
    const doomed = await world.work({ job: definition })
    const { id } = await doomed.jobs.job.trigger(null)
    await world.advance(1000)
    doomed.crash()
    const { durably } = await world.work({ job: definition })
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: STEPS })
    expect(executions).toBe(STEPS)
    expect((await durably.getSteps(id)).map(({ name }) => name)).toEqual(names)
    const sequences = (await readAll(durably.subscribe(id))).map(({ sequence }) => sequence)
    expect(sequences).toEqual(Array.from({ length: STEPS + 4 }, (_, i) => i + 1))
  })

  test('log lines come in whatever number, and those beyond a bound are counted', async () => {
    const world = await open()
    const { jobs, durably } = await world.work({
      job: job((step) => {
        for (let i = 0; i < 12_000; i++) step.log.info(`line ${i}`)
      }),
    })
    const { id } = await jobs.job.triggerAndWait(null)
    const logs = await durably.getLogs(id)
    expect(logs).toHaveLength(10_001)
    const dropped = logs.filter(({ level }) => level === 'warn')
    expect(dropped).toMatchObject([
      { message: '2000 log lines were dropped: they came faster than they could be stored' },
    ])
  })
})
