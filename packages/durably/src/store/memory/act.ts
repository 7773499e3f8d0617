import { isLegal, isTerminal } from '../../core/transitions.ts'
import type { Acted, ActRequest, Fact, Removed } from '../store.ts'
import { tell } from './tell-waiters.ts'
import { advance, recordOf, remove, type Row, type Tables } from './tables.ts'

export function act(tables: Tables, request: ActRequest, now: number): Acted {
  const row = tables.runs.get(request.runId)
  if (row === undefined) return { done: false, status: null }
  const { status, generation } = row.record
  const isFenced = 'generation' in request && request.generation !== generation
  if (isFenced || !isLegal(request.transition, status)) return { done: false, status }
  const fact = change(row, request.transition, now)
  const woken = isTerminal(fact.run.status) ? tell(tables, fact.run, now) : []
  return { done: true, ...fact, woken }
}

export function removeRun(tables: Tables, runId: string, now: number): Removed {
  const row = tables.runs.get(runId)
  if (row === undefined) return { done: false, status: null }
  const { status } = row.record
  if (!isLegal('delete', status)) return { done: false, status }
  remove(tables, row, now)
  return { done: true, run: recordOf(row), lastSeq: row.journal.length }
}

function change(row: Row, transition: ActRequest['transition'], now: number): Fact {
  switch (transition) {
    case 'cancel':
      return advance(row, 'cancel', { reason: 'cancel' }, {}, now)
    case 'retry':
      return retry(row, now)
    case 'release':
      return advance(row, 'release', { reason: 'unclaimed' }, {}, now)
    case 'wake':
      return advance(row, 'wake', { reason: 'asked' }, {}, now)
  }
}

/** As if it had not ended: it stands where its due time puts it. What has started was due, whatever the clock says. */
function retry(row: Row, now: number): Fact {
  const attempt = row.record.attempt + 1
  row.due = row.record.startedAt !== null || row.record.dueAt <= now
  const cleared = { output: null, error: null, completedAt: null, expireAt: null, crashes: 0 }
  return advance(row, 'retry', { attempt }, { ...cleared, attempt }, now)
}
