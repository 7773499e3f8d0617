import { isLegal } from '../../core/transitions.ts'
import { byDueTime, byPriority } from '../claim-order.ts'
import type { Claim, ClaimRequest } from '../store.ts'
import { renewUnlessFresh } from './renew.ts'
import { advance, type Row, type Tables } from './tables.ts'

export function claim(tables: Tables, request: ClaimRequest, now: number): Claim[] {
  const rows = claimable(tables, request.jobs, now).sort(inOrder).slice(0, request.limit)
  if (rows.length > 0) renewUnlessFresh(tables, request, now)
  return rows.map((row) => {
    const { startedAt, attempt } = row.record
    row.workerId = request.workerId
    row.holdsKey = true
    const changes = { startedAt: startedAt ?? now, expireAt: null }
    return advance(row, 'claim', { attempt }, changes, now)
  })
}

/** Pending, due, at the head of its key, not expired, and of a job that is known and not paused. */
export function claimable(tables: Tables, jobs: readonly string[], now: number): Row[] {
  const heads = headsOfKeys(tables)
  return [...tables.runs.values()].filter(
    (row) =>
      isLegal('claim', row.record.status) &&
      row.due &&
      isHead(row, heads) &&
      (row.record.expireAt === null || row.record.expireAt > now) &&
      jobs.includes(row.record.jobName) &&
      !tables.paused.has(row.record.jobName),
  )
}

function isHead(row: Row, heads: ReadonlyMap<string, Row>): boolean {
  const { concurrencyKey } = row.record
  return concurrencyKey === null || heads.get(concurrencyKey) === row
}

/** Of each key the run that holds it, else the first of the due ones, whatever its job. */
function headsOfKeys(tables: Tables): Map<string, Row> {
  const heads = new Map<string, Row>()
  for (const row of tables.runs.values()) {
    const { concurrencyKey, status } = row.record
    if (concurrencyKey === null) continue
    const waits = row.due && isLegal('claim', status)
    if (!waits && !row.holdsKey) continue
    const head = heads.get(concurrencyKey)
    if (head === undefined || goesBefore(row, head)) heads.set(concurrencyKey, row)
  }
  return heads
}

function goesBefore(row: Row, other: Row): boolean {
  if (row.holdsKey !== other.holdsKey) return row.holdsKey
  return byDueTime(row.record, other.record) < 0
}

export function inOrder({ record: a }: Row, { record: b }: Row): number {
  return byPriority(a, b)
}
