/** Gives one thing to one at a time, in the order in which they ask. */
export interface Turns {
  /** Null: it is free, and now taken. */
  take(): Promise<void> | null
  pass(): void
}

export function createTurns(): Turns {
  const waiting: (() => void)[] = []
  let taken = false
  return {
    take: () => {
      if (taken) return new Promise((resolve) => waiting.push(resolve))
      taken = true
      return null
    },
    pass: () => {
      const next = waiting.shift()
      if (next === undefined) taken = false
      else next()
    },
  }
}
