import type { EntryKind } from '../core/journal.ts'
import type { Commit } from '../store/store.ts'

/**
 * Tells a commit that the database will not take from a database that takes nothing: the one fails again and again,
 * also under a new lease, while others are taken in between.
 */
export interface Blame {
  /** Something was written, these commits among it. A run that made its way is not to blame any more. */
  taken(commits: readonly Commit[]): void
  /** A commit of the run failed, and there was nothing else in its transaction. */
  failed(runId: string): void
  /** Whether the commit failed often enough to be given up for good. */
  isGuilty(runId: string): boolean
}

interface Record {
  /** How much had been written when it failed last. */
  readonly written: number
  /** How often it failed after others were taken. */
  readonly times: number
}

// What does not come again when the run is executed anew.
const milestones: readonly EntryKind[] = ['step:complete', 'step:fail', 'step:retry']

// The oldest is forgotten: it only begins to count anew.
const MAX_RUNS = 1000

export function createBlame(most: number): Blame {
  const records = new Map<string, Record>()
  let written = 0
  return {
    taken(commits) {
      written++
      if (records.size === 0) return
      for (const { lease, entries } of commits) {
        if (entries.some(({ kind }) => milestones.includes(kind))) records.delete(lease.runId)
      }
    },
    failed(runId) {
      const before = records.get(runId) ?? { written, times: 0 }
      records.delete(runId)
      const [oldest] = records.size < MAX_RUNS ? [] : records.keys()
      if (oldest !== undefined) records.delete(oldest)
      records.set(runId, { written, times: before.times + (written > before.written ? 1 : 0) })
    },
    isGuilty: (runId) => (records.get(runId)?.times ?? 0) >= most,
  }
}
