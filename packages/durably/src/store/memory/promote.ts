import { isLegal } from '../../core/transitions.ts'
import type { Fact } from '../store.ts'
import { byDueTime } from './claim.ts'
import { advance, type Row, type Tables } from './tables.ts'

/** What is due and expired is cancelled: it was to start before. */
export function promote(tables: Tables, limit: number, now: number): Fact[] {
  const expired = expiring(tables)
    .filter((row) => expiryOf(row) <= now)
    .sort((a, b) => expiryOf(a) - expiryOf(b) || byDueTime(a, b))
    .slice(0, limit)
    .map((row) => advance(row, 'expire', { reason: 'ttl' }, {}, now))
  const due = delayed(tables)
    .filter(({ record }) => record.dueAt <= now)
    .sort(byDueTime)
    .slice(0, limit)
  for (const row of due) row.due = true
  return expired
}

/** When `promote` has something to do next. */
export function nextPromotion(tables: Tables): number | null {
  const times = [
    ...delayed(tables).map(({ record }) => record.dueAt),
    ...expiring(tables).map(expiryOf),
  ]
  return times.length === 0 ? null : times.reduce((a, b) => Math.min(a, b))
}

function delayed(tables: Tables): Row[] {
  return [...tables.runs.values()].filter(
    ({ record, due }) => isLegal('claim', record.status) && !due,
  )
}

/** A claim takes the time to start by away, so only runs that never started have one. */
function expiring(tables: Tables): Row[] {
  return [...tables.runs.values()].filter(
    ({ record }) => isLegal('expire', record.status) && record.expireAt !== null,
  )
}

function expiryOf({ record }: Row): number {
  return record.expireAt ?? Number.POSITIVE_INFINITY
}
