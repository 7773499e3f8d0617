import { isTerminal } from '../../core/transitions.ts'
import type { Store } from '../store.ts'
import type { Database } from './database.ts'
import type { LockRuns, ReadRuns } from './lock-runs.ts'
import type { Waiters } from './waiters.ts'

export interface WatchSteps {
  readonly lockRuns: LockRuns
  readonly readRuns: ReadRuns
  readonly waiters: Waiters
}

/** Both runs are locked, so that the target's end either is seen here or sees the waiter. */
export function createWatch(database: Database, steps: WatchSteps): Store['watch'] {
  const { lockRuns, readRuns, waiters } = steps
  return (runId, target, now) =>
    database.transaction(async (session) => {
      const locked = await lockRuns(session, [runId, target])
      const [watcher, watched] = [locked.get(runId), locked.get(target)]
      if (watcher === undefined || watched === undefined) return null
      const { inbox } = watcher
      if (!isTerminal(watched.status)) {
        await waiters.add(session, runId, target)
        return inbox
      }
      const runs = await readRuns(session, [runId, target])
      const run = runs.get(runId)
      const ended = runs.get(target)
      if (run === undefined || ended === undefined) return null
      await waiters.tellLate(session, run, ended, now)
      return inbox
    })
}
