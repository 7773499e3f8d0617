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
    const mail = row === undefined ? null : newsFor(row, ended)
    return row === undefined || mail === null ? [] : (deliver(row, mail, now) ?? [])
  })
}

/** Tells one run of an end that came before it asked. */
export function tellLate(row: Row, ended: RunRecord): void {
  const mail = newsFor(row, ended)
  if (mail !== null) post(row, mail)
}

/** An unread message that says the same is enough; one of an earlier end, or that was read, makes way. */
function newsFor(
  { mailbox }: Row,
  ended: RunRecord,
): Pick<Letter, 'id' | 'kind' | 'name' | 'data'> | null {
  const data = endingOf(ended)
  const at = mailbox.findIndex(({ kind, id }) => kind === 'run' && id === ended.id)
  const before = mailbox[at]
  if (before !== undefined && !before.isRead && before.data?.text === data.text) return null
  if (before !== undefined) mailbox.splice(at, 1)
  return { id: ended.id, kind: 'run', name: ended.id, data }
}
