import type { RunRecord } from '../core/run.ts'

/** What decides which run is claimed first. */
type Place = Pick<RunRecord, 'id' | 'priority' | 'dueAt'>

/** Higher priority first, then in the order of due times. */
export function byPriority(a: Place, b: Place): number {
  return b.priority - a.priority || byDueTime(a, b)
}

export function byDueTime(a: Place, b: Place): number {
  return a.dueAt - b.dueAt || (a.id < b.id ? -1 : 1)
}
