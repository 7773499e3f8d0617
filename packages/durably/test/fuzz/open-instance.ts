import { expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import type { JobHandle } from '../../src/core/handle.ts'
import type { Instance, Jobs } from '../../src/core/instance.ts'
import { defineJob, type JobDefinition } from '../../src/core/job.ts'
import { assemble } from '../../src/durably.ts'
import { createEnv } from '../../src/env.ts'
import type { Backend } from '../backend.ts'
import { backends } from '../backends.ts'
import { watchForUnhandledRejections } from '../conformance/api/audit.ts'

/** The reference model, and one real database. */
export const fuzzedBackends: readonly Backend[] = backends.filter(({ name }) =>
  ['memory', 'better-sqlite3'].includes(name),
)

/** An instance that works, in real time. */
export interface OpenInstance {
  readonly durably: Instance<Jobs | null>
  readonly echo: JobHandle
  /** Registers another job. */
  add(run: JobDefinition['run']): JobHandle
  /** Throws unless a run still goes through, and no rejection was left to nobody. */
  check(): Promise<void>
}

export async function openInstance(backend: Backend): Promise<OpenInstance> {
  const database = await backend.open()
  const durably = assemble(await database.connect(), createEnv(), { maxConcurrentRuns: 10 })
  const unhandled = watchForUnhandledRejections()
  onTestFinished(async () => {
    unhandled.stop()
    await durably.close()
    await database.close()
  })
  const add = (run: JobDefinition['run'], name = 'added'): JobHandle =>
    durably.register({ [name]: defineJob({ name, input: z.unknown(), run }) })[name] as JobHandle
  const echo = add((step, payload) => step.run('echo', () => payload), 'echo')
  await durably.init()
  return {
    durably,
    echo,
    add,
    async check() {
      const { output } = await echo.triggerAndWait('still here', { timeout: '10s' })
      expect(output).toBe('still here')
      unhandled.check()
    },
  }
}
