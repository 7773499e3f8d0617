import { CompiledQuery, type TransactionSettings } from 'kysely'

/** What begins a transaction of SQLite: with the write lock, unless it only reads. Made once, for each is made often. */
export function beginOf({ accessMode }: TransactionSettings): CompiledQuery {
  return accessMode === 'read only' ? look : begin
}

const look = CompiledQuery.raw('begin')
const begin = CompiledQuery.raw('begin immediate')

export const commit = CompiledQuery.raw('commit')
export const rollback = CompiledQuery.raw('rollback')

/** What begins a transaction by hand, and what ends a whole one. */
export const beginning = /^\s*(begin|savepoint)\b/i
export const wholeRollback = /^\s*rollback\b(?!.*\bto\b)/i

export function endedError(): Error {
  return new Error(
    'The transaction has ended before it was committed, and nothing of it was written: an error of the database ended ' +
      'it, or the app closed the connection',
  )
}
