import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineJob, wait, type Run, type StepContext } from '../../src/index.ts'
import { record } from './effects.ts'

/** Triggers the run that another run waits for. */
export type TriggerChild = (parentRunId: string) => Promise<Pick<Run, 'id'>>

/** Jobs of all kinds, whose runs the acts of clients are to meet at every moment; effects are recorded. */
export function createCrowdJobs(effectsFile: string, triggerChild: TriggerChild) {
  const worker = String(process.pid)

  async function effect<T>({ runId: run, ...step }: StepContext, name: string, fn: () => T) {
    const result = await step.run(name, async () => {
      record(effectsFile, { kind: 'execute', run, step: name, worker })
      await sleep(Math.random() * 10)
      return fn()
    })
    record(effectsFile, { kind: 'acknowledge', run, step: name, worker })
    return result
  }

  return {
    plain: defineJob({
      name: 'plain',
      input: z.object({ fails: z.boolean() }),
      run: async (step, { fails }) => {
        await effect(step, 'first', () => null)
        await effect(step, 'last', () => {
          if (fails) throw new Error('as it was told to')
        })
      },
    }),
    patient: defineJob({
      name: 'patient',
      input: z.object({}),
      run: async (step) => {
        await step.sleep('nap', 1 + Math.random() * 60)
        await effect(step, 'between', () => null)
        await step.waitAny('word', { go: wait.signal('go'), late: wait.for(150) })
      },
    }),
    parent: defineJob({
      name: 'parent',
      input: z.object({}),
      run: async (step) => {
        const { id } = await step.run('child', () => triggerChild(step.runId))
        await step.waitAny('end', { end: wait.run(id), late: wait.for(300) })
      },
    }),
    flaky: defineJob({
      name: 'flaky',
      input: z.object({}),
      retry: { attempts: 4, delay: 20 },
      run: async (step) => {
        const attempts = [1, 2, 3].map((i) =>
          step.run(`part ${i}`, () => {
            if (Math.random() < 0.3) throw new Error('not this time')
          }),
        )
        await Promise.allSettled(attempts)
        step.log.info('all parts are over')
      },
    }),
  }
}
