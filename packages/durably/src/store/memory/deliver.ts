import { awaits } from '../../core/awaits.ts'
import { isLegal } from '../../core/transitions.ts'
import type { Fact } from '../store.ts'
import { advance, type Letter, type Row } from './tables.ts'

/** Puts a message into the mailbox, and wakes the run if it waits for it. */
export function deliver(
  row: Row,
  letter: Pick<Letter, 'id' | 'kind' | 'name' | 'data'>,
  now: number,
): Fact | null {
  const inbox = row.record.inbox + 1
  row.record = { ...row.record, inbox }
  row.mailbox.push({ ...letter, seq: inbox, isRead: false })
  const { status, waitingFor } = row.record
  if (!isLegal('wake', status) || !awaits(waitingFor, letter)) return null
  return advance(row, 'wake', { reason: letter.kind }, {}, now)
}
