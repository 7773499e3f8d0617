import type { Env } from '../core/env.ts'

/** Work that is asked for more often than it is worth doing. */
export interface Soon {
  /** Does it now, or once the gap since the last time is over. */
  ask(): void
  cancel(): void
}

export function createSoon(env: Pick<Env, 'after' | 'now'>, gapMs: number, work: () => void): Soon {
  let doneAt = Number.NEGATIVE_INFINITY
  let cancelTimer: (() => void) | null = null

  function perform(): void {
    cancelTimer = null
    doneAt = env.now()
    work()
  }

  return {
    ask() {
      if (cancelTimer !== null) return
      // A clock that is set back makes it no longer.
      const wait = Math.min(gapMs, doneAt + gapMs - env.now())
      if (wait <= 0) perform()
      else cancelTimer = env.after(wait, perform)
    },
    cancel() {
      cancelTimer?.()
      cancelTimer = null
    },
  }
}
