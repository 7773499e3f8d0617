import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineJob, wait, type Instance } from '../../src/index.ts'
import { record } from './effects.ts'

export const STEPS = 6

/**
 * A job whose every effect is recorded outside the database: steps in a row, a wait for a signal in between, the last
 * two side by side.
 */
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
      const word = await step.waitForSignal('go')
      const again = await step.waitAny('again', { go: wait.signal('go'), late: wait.for(10) })
      await Promise.all([recorded(`step-${STEPS - 2}`), recorded(`step-${STEPS - 1}`)])
      return `${String(word)} ${again.key}`
    },
  })
}

/** Sends each run its signal, at a moment of chance, and once more: it counts once. */
export async function signalAll(
  durably: Pick<Instance, 'signal'>,
  ids: readonly string[],
  withinMs: number,
): Promise<void> {
  await Promise.all(
    ids.map(async (id) => {
      await sleep(Math.random() * withinMs)
      for (let i = 0; i < 2; i++) await durably.signal(id, 'go', id, { id: 'once' })
    }),
  )
}

/** What a run returns that got its signal, and got it once. */
export function outputOf(id: string): string {
  return `${id} late`
}
