import type { Env } from '../core/env.ts'

/** The environment of a run. When it goes on in a process with another clock, its time does not go back for that. */
export interface RunClock extends Env {
  /** It is so late at least: someone has woken the run for it, by a clock that may be ahead of this one. */
  reached(time: number): void
}

export function createRunClock(env: Env): RunClock {
  let ahead = 0
  return {
    ...env,
    now: () => env.now() + ahead,
    reached(time) {
      ahead = Math.max(ahead, time - env.now())
    },
  }
}
