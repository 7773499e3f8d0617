import type { RunRecord } from '../../core/run.ts'
import { endingOf } from '../ending-of.ts'
import type { Fact } from '../store.ts'
import { deliver, post } from './deliver.ts'
import type { Letter, Row, Tables } from './tables.ts'

/** Tells those that watch the run how it ended; says who was woken by it. */
export function tell(tables: Tables, ended: RunRecord, now: number): Fact[] {
  const waiting = [...(tables.waiters.get(ended.id) ?? [])].sort()
  tables.waiters.delete(ended.id)
  return waiting.flatMap((runId) => {
    const row = tables.runs.get(runId)
    return row === undefined ? [] : (deliver(row, newsFor(row, ended), now) ?? [])
  })
}

/** Tells one run of an end that came before it asked. */
export function tellLate(row: Row, ended: RunRecord): void {
  post(row, newsFor(row, ended))
}

/** What the run was told of earlier ends, read or not, makes way for what it is told now. */
export function makeWay({ mailbox }: Row, target: string): void {
  const at = mailbox.findIndex(({ kind, id }) => kind === 'run' && id === target)
  if (at !== -1) mailbox.splice(at, 1)
}

function newsFor(row: Row, ended: RunRecord): Pick<Letter, 'id' | 'kind' | 'name' | 'data'> {
  makeWay(row, ended.id)
  return { id: ended.id, kind: 'run', name: ended.id, data: endingOf(ended) }
}
