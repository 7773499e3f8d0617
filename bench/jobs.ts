import { defineJob } from '@coji/durably'
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
