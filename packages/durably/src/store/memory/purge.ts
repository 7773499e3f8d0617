import type { RunQuery } from '../store.ts'
import { matches } from './read.ts'
import { remove, type Row, type Tables } from './tables.ts'

/** Those that ended first go first. */
export function purge(
  tables: Tables,
  filter: RunQuery,
  before: number,
  limit: number,
  now: number,
): string[] {
  const old = [...tables.runs.values()]
    .filter((row) => endOf(row) < before && matches(filter, row.record))
    .sort((a, b) => endOf(a) - endOf(b) || (a.record.id < b.record.id ? -1 : 1))
    .slice(0, limit)
  for (const row of old) remove(tables, row, now)
  return old.map(({ record }) => record.id)
}

/** Only what ended has an end. */
function endOf({ record }: Row): number {
  return record.completedAt ?? Number.POSITIVE_INFINITY
}
