import type { Encoded } from '../../core/codec.ts'
import type { RunRecord } from '../../core/run.ts'
import type { Ending, Fact } from '../store.ts'
import { deliver } from './deliver.ts'
import type { Row, Tables } from './tables.ts'

/** Tells those that watch the run how it ended; says who was woken by it. */
export function tell(tables: Tables, ended: RunRecord, now: number): Fact[] {
  const waiting = [...(tables.waiters.get(ended.id) ?? [])].sort()
  tables.waiters.delete(ended.id)
  return waiting.flatMap((runId) => {
    const row = tables.runs.get(runId)
    return row === undefined ? [] : (tellOne(row, ended, now) ?? [])
  })
}

/** One message of an end at a time: an unread one that says the same is enough, one of an earlier end is replaced. */
export function tellOne(row: Row, ended: RunRecord, now: number): Fact | null {
  const data = endingOf(ended)
  const known = row.mailbox.findIndex(({ kind, id }) => kind === 'run' && id === ended.id)
  const before = row.mailbox[known]
  if (before !== undefined && !before.isRead && before.data?.text === data.text) return null
  if (before !== undefined) row.mailbox.splice(known, 1)
  return deliver(row, { id: ended.id, kind: 'run', name: ended.id, data }, now)
}

function endingOf({ status, output, error }: RunRecord): Encoded {
  const ending: Ending = { status, output, error }
  return { format: 'json', text: JSON.stringify(ending) }
}
