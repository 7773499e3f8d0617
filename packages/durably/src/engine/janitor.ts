import type { Env } from '../core/env.ts'
import type { Store } from '../store/store.ts'

/** Deletes runs that ended long ago, a few at a time, while its process works. */
export interface Janitor {
  start(): void
  stop(): void
}

export interface JanitorOptions {
  readonly store: Store
  readonly env: Env
  readonly retainMs: number
  /** Once for all that a sweep purged. */
  readonly onPurged: () => void
  readonly onError: (error: unknown, context: string) => void
}

const BATCH = 100
const REST_MS = 60_000
// Between two batches others get the database.
const BREATH_MS = 50

export function createJanitor({
  store,
  env,
  retainMs,
  onPurged,
  onError,
}: JanitorOptions): Janitor {
  let cancelTimer: (() => void) | null = null
  let working = false
  let untold = 0

  async function sweep(): Promise<void> {
    let purged = 0
    try {
      purged = (await store.purge({}, env.now() - retainMs, BATCH, env.now())).length
    } catch (error) {
      onError(error, 'purging old runs')
    }
    untold += purged
    const isDone = purged < BATCH
    if (isDone && untold > 0) {
      untold = 0
      onPurged()
    }
    if (working) plan(isDone ? REST_MS : BREATH_MS)
  }

  /** Instead of what was planned before: a sweep that began before a stop may end after the next start. */
  function plan(ms: number): void {
    cancelTimer?.()
    cancelTimer = env.after(ms, () => void sweep())
  }

  return {
    start() {
      if (working) return
      working = true
      plan(0)
    },
    stop() {
      working = false
      cancelTimer?.()
    },
  }
}
