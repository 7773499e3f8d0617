/** Gives one thing to one at a time, in the order in which they ask. */
export interface Turns {
  take(): Promise<void>
  pass(): void
}

export function createTurns(): Turns {
  const waiting: (() => void)[] = []
  let taken = false
  return {
    take: async () => {
      if (taken) await new Promise<void>((resolve) => waiting.push(resolve))
      taken = true
    },
    pass: () => {
      const next = waiting.shift()
      if (next === undefined) taken = false
      else next()
    },
  }
}
