import { awaits } from '../../core/awaits.ts'
import { isLegal } from '../../core/transitions.ts'
import type { Fact } from '../store.ts'
import { advance, type Letter, type Row } from './tables.ts'

type Mail = Pick<Letter, 'id' | 'kind' | 'name' | 'data'>

/** Puts a message into the mailbox. */
export function post(row: Row, mail: Mail): void {
  const inbox = row.record.inbox + 1
  row.record = { ...row.record, inbox }
  row.mailbox.push({ ...mail, seq: inbox, isRead: false })
}

/** Posts the message, and wakes the run if it waits for it. */
export function deliver(row: Row, mail: Mail, now: number): Fact | null {
  post(row, mail)
  const { status, waitingFor } = row.record
  if (!isLegal('wake', status) || !awaits(waitingFor, mail)) return null
  return advance(row, 'wake', { reason: mail.kind }, {}, now)
}
