import { isLegal } from '../../core/transitions.ts'
import type { Fact } from '../store.ts'
import { byDueTime } from '../claim-order.ts'
import { tell } from './tell-waiters.ts'
import { advance, type Row, type Tables } from './tables.ts'

/** What is due and expired is cancelled: it was to start before. */
export function promote(tables: Tables, limit: number, now: number): Fact[] {
  const expired = expiring(tables)
    .filter((row) => expiryOf(row) <= now)
    .sort((a, b) => expiryOf(a) - expiryOf(b) || byDueTime(a.record, b.record))
    .slice(0, limit)
  const due = [...delayed(tables), ...sleeping(tables)]
    .filter((row) => timeOf(row) <= now && !expired.includes(row))
    .sort((a, b) => timeOf(a) - timeOf(b) || (a.record.id < b.record.id ? -1 : 1))
    .slice(0, limit)
  const cancelled = expired.map((row) => advance(row, 'expire', { reason: 'ttl' }, {}, now))
  const told = cancelled.flatMap(({ run }) => tell(tables, run, now))
  return [...cancelled, ...told, ...due.flatMap((row) => makeClaimable(row, now))]
}

/** One that waits is woken, unless an end that it was told of has just done so. */
function makeClaimable(row: Row, now: number): Fact[] {
  row.due = true
  return row.wakeAt === null ? [] : [advance(row, 'wake', { reason: 'due' }, {}, now)]
}

/** When `promote` has something to do next. */
export function nextPromotion(tables: Tables): number | null {
  const times = [
    ...[...delayed(tables), ...sleeping(tables)].map(timeOf),
    ...expiring(tables).map(expiryOf),
  ]
  return times.length === 0 ? null : times.reduce((a, b) => Math.min(a, b))
}

function delayed(tables: Tables): Row[] {
  return [...tables.runs.values()].filter(
    ({ record, due }) => isLegal('claim', record.status) && !due,
  )
}

/** Those that are woken by time, if by nothing before. */
function sleeping(tables: Tables): Row[] {
  return [...tables.runs.values()].filter(({ wakeAt }) => wakeAt !== null)
}

function timeOf({ wakeAt, record }: Row): number {
  return wakeAt ?? record.dueAt
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
