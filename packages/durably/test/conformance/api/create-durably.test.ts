import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineJob } from '../../../src/core/job.ts'
import { createDurably, type DurablyOptions } from '../../../src/durably.ts'
import type { Backend } from '../../backend.ts'
import { backends } from '../../backends.ts'

const greet = defineJob({
  name: 'greet',
  input: z.object({ name: z.string() }),
  output: z.object({ greeting: z.string() }),
  run: async (step, { name }) => {
    const greeting = await step.run('greet', () => `Hello, ${name}`)
    return { greeting }
  },
})

/** Instances on one database, in real time, closed after the test. */
async function openInstances(backend: Backend) {
  const database = await backend.open()
  onTestFinished(() => database.close())
  return (options?: Partial<DurablyOptions>) => {
    if (database.dialect === null) throw new Error(`${backend.name} has no dialect`)
    const dialect = database.dialect()
    const durably = createDurably({ dialect, ...options })
    onTestFinished(() => durably.close())
    return { durably, dialect }
  }
}

// In real time, through the front door; all else is tested in virtual time.
describe.each(backends.filter(({ name }) => name !== 'memory'))('$name', (backend) => {
  test('an instance migrates, works, answers and stops', async () => {
    const create = await openInstances(backend)
    const { durably } = create()
    await durably.init()
    const { greet: handle } = durably.register({ greet })
    const done = Promise.withResolvers<unknown>()
    durably.on('run:complete', ({ output }) => done.resolve(output))
    const { id, output } = await handle.triggerAndWait({ name: 'Ada' })
    expect(output).toEqual({ greeting: 'Hello, Ada' })
    expect(await done.promise).toEqual(output)
    expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output })
    await durably.stop()
  })

  test('a process that only triggers is answered by another', async () => {
    const create = await openInstances(backend)
    const { durably: worker } = create({ jobs: { greet }, pollingInterval: 50 })
    const { durably: client } = create({ pollingInterval: 50 })
    await worker.init()
    await client.migrate()
    const { greet: handle } = client.register({ greet })
    const answers = await Promise.all(
      ['Ada', 'Grace', 'Barbara'].map((name) => handle.triggerAndWait({ name })),
    )
    expect(answers.map(({ output }) => output.greeting)).toEqual([
      'Hello, Ada',
      'Hello, Grace',
      'Hello, Barbara',
    ])
  })

  test('a cancel fires the signal within 50 ms', async () => {
    const create = await openInstances(backend)
    const { durably } = create()
    await durably.init()
    const started = Promise.withResolvers<void>()
    const fired = Promise.withResolvers<void>()
    const { hang } = durably.register({
      hang: defineJob({
        name: 'hang',
        input: z.null(),
        run: (step) =>
          step.run('hang', (signal) => {
            signal.addEventListener('abort', () => fired.resolve())
            started.resolve()
            return new Promise<void>(() => {})
          }),
      }),
    })
    const { id } = await hang.trigger(null)
    await started.promise
    await durably.cancel(id)
    const answered = performance.now()
    await fired.promise
    expect(performance.now() - answered).toBeLessThan(50)
  })

  test('close leaves open what the app opened', async () => {
    const create = await openInstances(backend)
    const { durably, dialect } = create()
    await durably.init()
    await durably.close()
    const again = createDurably({ dialect })
    await again.migrate()
    expect(await again.getRuns()).toEqual([])
    await again.close()
  })

  test('several instances may init an empty database at once', async () => {
    const create = await openInstances(backend)
    const instances = Array.from({ length: 4 }, () => create().durably)
    await Promise.all(instances.map((durably) => durably.init()))
    const handles = instances.map((durably) => durably.register({ greet }).greet)
    const answers = await Promise.all(handles.map((handle) => handle.triggerAndWait({ name: 'x' })))
    expect(new Set(answers.map(({ id }) => id)).size).toBe(4)
  })

  test('two prefixes are two installations in one database', async () => {
    const create = await openInstances(backend)
    const { durably: one } = create()
    const { durably: other } = create({ tablePrefix: 'other_' })
    await one.migrate()
    await other.migrate()
    await one.register({ greet }).greet.trigger({ name: 'Ada' })
    expect(await one.getRuns()).toHaveLength(1)
    expect(await other.getRuns()).toEqual([])
  })
})
