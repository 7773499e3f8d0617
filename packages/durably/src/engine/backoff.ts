import type { Env } from '../core/env.ts'

/** How long to leave a database alone that does not answer: longer each time, never twice the same. */
export interface Backoff {
  next(): number
  reset(): void
}

const FIRST_MS = 50
const LONGEST_MS = 5000

export function createBackoff(env: Env): Backoff {
  let step = FIRST_MS
  return {
    next() {
      const ms = step * (0.5 + env.random() / 2)
      step = Math.min(step * 2, LONGEST_MS)
      return ms
    },
    reset() {
      step = FIRST_MS
    },
  }
}
