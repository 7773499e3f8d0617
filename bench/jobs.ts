import { setTimeout as sleep } from 'node:timers/promises'
import { defineJob, wait } from '@coji/durably'
import { z } from 'zod'

/** A run of as many steps as asked, one after the other. */
export const steps = defineJob({
  name: 'steps',
  input: z.object({ count: z.number() }),
  run: async (step, { count }) => {
    for (let i = 0; i < count; i++) await step.run(`step ${i}`, () => 'x'.repeat(40))
  },
})

/** A run of nothing. */
export const empty = defineJob({ name: 'empty', input: z.object({}), run: async () => {} })

type FirstLine = (id: string) => void

let onFirstLine: FirstLine = () => {}

/** Sets what the next runs of `first` call as soon as they execute. */
export function whenFirstLine(call: FirstLine): void {
  onFirstLine = call
}

/** A run whose first line is all that matters. */
export const first = defineJob({
  name: 'first',
  input: z.object({ id: z.string() }),
  run: async (_step, { id }) => onFirstLine(id),
})

/** Waits for a signal; its first line after that is all that matters. */
export const waiting = defineJob({
  name: 'waiting',
  input: z.object({ id: z.string() }),
  run: async (step, { id }) => {
    await step.waitForSignal('go')
    onFirstLine(id)
  },
})

/** The time, exact enough to compare processes by. */
export const now = (): number => performance.timeOrigin + performance.now()

/** Steps that return when they ended, a pause between them. */
export const ticking = defineJob({
  name: 'ticking',
  input: z.object({ steps: z.number(), pause: z.number() }),
  async run(step, { steps: count, pause }) {
    for (let i = 0; i < count; i++) {
      await step.run(`step ${i}`, async () => {
        await sleep(pause)
        return now()
      })
    }
  },
})

/** Sleeps until a point in time. */
export const nap = defineJob({
  name: 'nap',
  input: z.object({ until: z.number() }),
  run: (step, { until }) => step.sleepUntil('nap', new Date(until)),
})

/** Does many steps, then waits again and again. */
export const patient = defineJob({
  name: 'patient',
  input: z.object({ steps: z.number(), waits: z.number() }),
  run: async (step, { steps: count, waits }) => {
    for (let i = 0; i < count; i++) await step.run(`step ${i}`, () => i)
    for (let i = 0; i < waits; i++) {
      await step.waitAny(`wait ${i}`, { go: wait.signal('go') })
      onFirstLine(String(i))
    }
  },
})
