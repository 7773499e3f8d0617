import { GIVE_UP_MS } from './in-time.ts'
import { createTurns, type LocalTurns } from './turns.ts'

/** A database object as all see it who have it in this process: it is one connection, and one transaction at a time. */
export interface SharedObject {
  /** Of all that use it through `sqliteDialect`. */
  readonly turns: LocalTurns
  /** Whether others have a transaction open on it: what is written now would be in that, and end as it ends. */
  isTaken(): boolean
}

const turnsOf = new WeakMap<object, LocalTurns>()

/** The turns of everyone who uses this object. */
export function turnsOn(database: object): LocalTurns {
  const turns = turnsOf.get(database) ?? createTurns()
  turnsOf.set(database, turns)
  return turns
}

/** As if another connection had the lock: it may be free in a moment. */
export function takenError(): Error {
  const error = new Error('A transaction is open on the database object that Durably was given')
  return Object.assign(error, { code: 'SQLITE_BUSY' })
}

export const NO_TURN =
  `Waited ${GIVE_UP_MS / 1000} s for the database object, which others in this process use too; nothing was written. ` +
  'If this call is awaited inside a transaction on it, each waits for the other: call Durably before or after the ' +
  'transaction, or give the app a database object of its own.'
