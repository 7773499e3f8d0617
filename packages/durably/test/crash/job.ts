import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineJob } from '../../src/index.ts'
import { record } from './effects.ts'

export const STEPS = 6

/** A job whose every effect is recorded outside the database: steps in a row, the last two side by side. */
export function createRecordedJob(effectsFile: string, onExecute = (): void => {}) {
  const worker = String(process.pid)
  return defineJob({
    name: 'recorded',
    input: z.object({}),
    run: async (step) => {
      const run = step.runId
      const recorded = async (name: string): Promise<void> => {
        await step.run(name, async () => {
          record(effectsFile, { kind: 'execute', run, step: name, worker })
          onExecute()
          await sleep(Math.random() * 4)
          return name
        })
        record(effectsFile, { kind: 'acknowledge', run, step: name, worker })
      }
      for (let i = 0; i < STEPS - 2; i++) await recorded(`step-${i}`)
      await Promise.all([recorded(`step-${STEPS - 2}`), recorded(`step-${STEPS - 1}`)])
      return STEPS
    },
  })
}
