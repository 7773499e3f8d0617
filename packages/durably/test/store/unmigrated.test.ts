import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { DurablyError } from '../../src/core/error.ts'
import { createDurably } from '../../src/durably.ts'
import { defineJob } from '../../src/core/job.ts'
import { backends } from '../backends.ts'

const job = defineJob({ name: 'job', input: z.unknown(), run: () => null })
const onSql = backends.filter(({ name }) => name !== 'memory')

test.each(onSql)(
  'without tables everything says what is missing, at once: $name',
  async (backend) => {
    const database = await backend.open()
    onTestFinished(() => database.close())
    const dialect = database.dialect?.()
    if (dialect === undefined) throw new Error(`${backend.name} has no dialect`)
    const durably = createDurably({ dialect, jobs: { job } })
    const calls: Record<string, () => Promise<unknown>> = {
      trigger: () => durably.jobs.job.trigger(null),
      triggerAndWait: () => durably.jobs.job.triggerAndWait(null),
      getRuns: () => durably.getRuns(),
      waitForRun: () => durably.waitForRun('a run'),
      subscribe: () => durably.subscribe('a run').getReader().read(),
      cancel: () => durably.cancel('a run'),
      signal: () => durably.signal('a run', 'go'),
      processUntilIdle: () => durably.processUntilIdle(),
    }
    for (const [name, call] of Object.entries(calls)) {
      const error: unknown = await call().catch((thrown: unknown) => thrown)
      expect(error, name).toBeInstanceOf(DurablyError)
      expect(error, name).toMatchObject({ code: 'store' })
      expect((error as Error).message, name).toMatch(/await durably\.init\(\)/)
    }
    await durably.migrate()
    await durably.jobs.job.trigger(null)
    expect(await durably.processUntilIdle()).toEqual({ executed: 1 })
    await durably.close()
  },
)
