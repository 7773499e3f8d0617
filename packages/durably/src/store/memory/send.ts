import { awaits } from '../../core/awaits.ts'
import { isLegal, isTerminal } from '../../core/transitions.ts'
import type { Send, Sent } from '../store.ts'
import { deliver } from './deliver.ts'
import { recordOf, type Row, type Tables, type Token } from './tables.ts'

export function send(tables: Tables, message: Send, now: number): Sent {
  const { id, to } = message
  const token = 'tokenHash' in to ? tables.tokens.get(to.tokenHash) : undefined
  const row = tables.runs.get('runId' in to ? to.runId : (token?.runId ?? ''))
  if (row === undefined) return { done: false, reason: 'unknown', status: null }
  if (row.mailbox.some((letter) => letter.kind !== 'run' && letter.id === id)) {
    return { done: true, isNew: false, run: recordOf(row), entry: null }
  }
  const named = { ...message, name: token?.name ?? message.name }
  const reason = refusal(row, token, named, now)
  if (reason !== null) return { done: false, reason, status: row.record.status }
  if (token !== undefined) token.messageId = id
  const { kind, name, data } = named
  const woken = deliver(row, { id, kind, name, data }, now)
  return { done: true, isNew: true, run: recordOf(row), entry: woken?.entry ?? null }
}

function refusal({ record }: Row, token: Token | undefined, message: Send, now: number) {
  if (token !== undefined && token.messageId !== null) return 'used'
  if (isTerminal(record.status)) return 'ended'
  if (token !== undefined && token.expiresAt !== null && token.expiresAt <= now) return 'expired'
  const isWaiting = isLegal('wake', record.status)
  if (message.kind === 'wake' && isWaiting && !awaits(record.waitingFor, message)) {
    return 'not-waiting'
  }
  return null
}
