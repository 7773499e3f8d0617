import type { Env } from '../core/env.ts'

/** Sees that another process committed, where the database has a number that says so. */
export interface Watcher {
  /** Watches until the returned function was called. */
  hold(): () => void
  /** Something happened here: others are likely to do something soon. */
  touch(): void
}

export interface WatcherOptions {
  /** Null: it is not to be looked at, now or later. */
  readonly version: () => Promise<number | null>
  readonly env: Env
  readonly onChange: () => void
}

// Reading the number costs some microseconds. Timers are not exact: 1 ms is what makes others' runs start within 3.
const BUSY_MS = 1
// Who commits all the time has no time for others' runs, and looking takes some of it away: a tenth of each step, on a
// slow machine. A run that comes and goes is over by the second look.
const OCCUPIED_MS = 5
const OCCUPIED_CHANGES = 2
const OCCUPIED_LOOKS = 2
const IDLE_MS = 50
const BUSY_FOR_MS = 2000

export function createWatcher({ version, env, onChange }: WatcherOptions): Watcher {
  let holders = 0
  let touchedAt = Number.NEGATIVE_INFINITY
  /** What happened here since the last look. */
  let changes = 0
  /** How many looks in a row found that much had happened here. */
  let occupiedLooks = 0
  let watching = false
  let nap: { readonly end: () => void } | null = null

  async function watch(): Promise<void> {
    let seen: number | null = null
    while (holders > 0) {
      // Who cannot read it now is told so by whatever else it does; polling goes on beneath.
      const current = await version().catch(() => undefined)
      // It counts as watching still, so that it does not begin again.
      if (current === null) return
      if (current !== undefined && seen !== null && current !== seen) {
        touchedAt = env.elapsed()
        onChange()
      }
      seen = current ?? seen
      // Released while it read: a nap now would keep the process up for nobody.
      if (holders === 0) break
      await new Promise<void>((resolve) => {
        const cancel = env.after(nextMs(), resolve)
        nap = {
          end() {
            cancel()
            resolve()
          },
        }
      })
    }
    watching = false
  }

  function nextMs(): number {
    occupiedLooks = changes >= OCCUPIED_CHANGES ? occupiedLooks + 1 : 0
    changes = 0
    if (!isBusy()) return IDLE_MS
    return occupiedLooks >= OCCUPIED_LOOKS ? OCCUPIED_MS : BUSY_MS
  }

  function isBusy(): boolean {
    return env.elapsed() - touchedAt < BUSY_FOR_MS
  }

  return {
    hold() {
      holders++
      if (!watching) {
        watching = true
        void watch()
      }
      let held = true
      return () => {
        if (held) holders--
        held = false
        if (holders === 0) nap?.end()
      }
    },
    touch() {
      const wasIdle = !isBusy()
      changes++
      touchedAt = env.elapsed()
      if (wasIdle) nap?.end()
    },
  }
}
