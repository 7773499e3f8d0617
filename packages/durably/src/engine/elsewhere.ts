import type { Env } from '../core/env.ts'
import type { Wakeups } from '../core/wakeups.ts'
import { createNotifier } from './notifier.ts'
import { createWatcher } from './watcher.ts'

/** The other processes on the same database: hears what they change, and tells them what changed here. */
export interface Elsewhere {
  /** Listens until the returned function was called. */
  hold(): () => void
  /** A run changed here; null: any may have. `urgent` when someone may be waiting to act on it, not only to show it. */
  changed(runId: string | null, urgent: boolean): void
  close(): Promise<void>
}

export interface ElsewhereOptions {
  readonly version: () => Promise<number | null>
  readonly wakeups: Wakeups | null
  readonly env: Env
  /** These runs may have changed; null: any. */
  readonly onChange: (runIds: readonly string[] | null) => void
  readonly onError: (error: unknown, context: string) => void
}

export function createElsewhere(options: ElsewhereOptions): Elsewhere {
  const { version, wakeups, env, onChange } = options
  const watcher = createWatcher({ version, env, onChange: () => onChange(null) })
  const notifier = wakeups === null ? null : createNotifier({ ...options, wakeups })

  return {
    hold() {
      notifier?.listen()
      return watcher.hold()
    },
    changed(runId, urgent) {
      watcher.touch()
      notifier?.changed(runId, urgent)
    },
    async close() {
      await notifier?.close()
    },
  }
}
