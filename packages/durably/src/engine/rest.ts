import type { Env } from '../core/env.ts'

/** What a loop does when there is nothing to do. Calls that come while it is up are kept for the next rest. */
export interface Rest {
  /** Resolves when called, or once so much time has elapsed. */
  until(elapsed: number): Promise<void>
  call(): void
}

// setTimeout counts in 32 bits: a longer rest would be none.
const LONGEST_MS = 2_000_000_000

export function createRest(env: Env): Rest {
  let called = false
  let wake: (() => void) | null = null

  return {
    async until(elapsed) {
      if (!called) {
        await new Promise<void>((resolve) => {
          const ms = Math.min(Math.max(0, elapsed - env.elapsed()), LONGEST_MS)
          const cancel = env.after(ms, resolve)
          wake = () => {
            cancel()
            resolve()
          }
        })
      }
      called = false
      wake = null
    },
    call() {
      called = true
      wake?.()
    },
  }
}
