import { isTerminal } from '../../core/transitions.ts'
import type { Mailbox } from '../store.ts'
import type { Tables } from './tables.ts'
import { makeWay, tellLate } from './tell-waiters.ts'

export function readMailbox(tables: Tables, runId: string): Mailbox {
  const row = tables.runs.get(runId)
  if (row === undefined) return { inbox: 0, messages: [] }
  const messages = row.mailbox
    .filter(({ isRead }) => !isRead)
    .map(({ seq, kind, name, data }) => ({ seq, kind, name, data }))
  return { inbox: row.record.inbox, messages }
}

export function watch(tables: Tables, runId: string, target: string): number | null {
  const watched = tables.runs.get(target)
  const row = tables.runs.get(runId)
  if (watched === undefined || row === undefined) return null
  const { inbox } = row.record
  if (isTerminal(watched.record.status)) {
    tellLate(row, watched.record)
    return inbox
  }
  makeWay(row, target)
  const waiting = tables.waiters.get(target) ?? new Set()
  tables.waiters.set(target, waiting.add(runId))
  return inbox
}
