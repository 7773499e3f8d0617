import type { NewEntry } from '../../core/journal.ts'
import { isHeld, wasCancelled } from '../../core/lease.ts'
import type { RunRecord } from '../../core/run.ts'
import { isTerminal } from '../../core/transitions.ts'
import {
  type Answer,
  type Commit,
  type Lease,
  RejectedWriteError,
  type Transition,
} from '../store.ts'
import { move, type Row, type Tables } from './tables.ts'

/** The fenced write. A run that it ends is added to `ended`. */
export function commit(tables: Tables, request: Commit, now: number, ended: RunRecord[]): Answer {
  const { lease, entries, transition } = request
  const row = tables.runs.get(lease.runId)
  if (row === undefined) return 'lost'
  if (wasCommitted(row, lease, entries)) return 'committed'
  const { record } = row
  if (!isHeld(record, lease.generation)) {
    return wasCancelled(record, lease.generation) ? 'cancelled' : 'lost'
  }
  if (transition?.name === 'park' && transition.inbox !== row.record.inbox) return 'moved'
  for (const entry of entries) row.journal.push({ ...entry, ...lease })
  const changes = changesOf(request)
  if (changes !== null) row.record = { ...row.record, ...changes, updatedAt: now }
  consume(row, request.consumes ?? [])
  for (const token of request.tokens ?? []) {
    tables.tokens.set(token.hash, { ...token, runId: lease.runId, messageId: null })
  }
  if (transition !== undefined) transit(row, transition, entries.at(-1)?.at ?? now, now)
  if (isTerminal(row.record.status)) ended.push(row.record)
  return 'committed'
}

/** What is read stays known by its id. */
function consume({ mailbox }: Row, positions: readonly number[]): void {
  for (const letter of mailbox) {
    if (!positions.includes(letter.seq)) continue
    letter.isRead = true
    letter.data = null
  }
}

function transit(row: Row, transition: Transition, at: number, now: number): void {
  if (transition.name !== 'park') {
    const { name, ...outcome } = transition
    // It ended when its entry says so, however long that was on its way.
    return move(row, name, name === 'release' ? outcome : { ...outcome, completedAt: at }, now)
  }
  const { waits, wakeAt } = transition
  // A run that came to a wait has made its way: the crashes before are forgiven.
  move(row, 'park', { waitingFor: waits, crashes: 0, executing: null }, now)
  row.wakeAt = wakeAt
}

/**
 * Throws when an entry would leave a gap in its journal or stand on another one. That is a mistake of the
 * caller, seen before anything of the batch is written.
 */
export function requirePositions(tables: Tables, commits: readonly Commit[]): void {
  const lengths = new Map<Row, number>()
  for (const { lease, entries } of commits) {
    const row = tables.runs.get(lease.runId)
    if (
      row === undefined ||
      !isHeld(row.record, lease.generation) ||
      wasCommitted(row, lease, entries)
    )
      continue
    let last = lengths.get(row) ?? row.journal.length
    for (const { seq } of entries) {
      if (seq !== ++last) {
        throw new RejectedWriteError(`Run ${lease.runId} has no place for an entry ${seq}`)
      }
    }
    lengths.set(row, last)
  }
}

/**
 * A commit that is sent again finds its own entries. The generation alone would not tell them from what the
 * store wrote in their place when it gave up or handed on the run of a dead worker.
 */
function wasCommitted({ journal }: Row, lease: Lease, entries: readonly NewEntry[]): boolean {
  if (entries.length === 0) return false
  return entries.every((entry) => {
    const found = journal[entry.seq - 1]
    return (
      found?.generation === lease.generation &&
      found.kind === entry.kind &&
      found.name === entry.name &&
      found.at === entry.at &&
      found.data === entry.data
    )
  })
}

function changesOf({ progress, executing }: Commit): Partial<RunRecord> | null {
  if (progress === undefined && executing === undefined) return null
  return {
    ...(progress === undefined ? {} : { progress }),
    ...(executing === undefined ? {} : { executing }),
  }
}
