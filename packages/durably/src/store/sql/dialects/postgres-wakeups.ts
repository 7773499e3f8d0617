import { DurablyError, ValidationError } from '../../../core/error.ts'
import type { Env } from '../../../core/env.ts'
import type { Wakeups } from '../../../core/wakeups.ts'
import type { PgPool, PGliteClient, PostgresJsClient } from './postgres-client.ts'

export type PostgresSource = PgPool | PostgresJsClient | PGliteClient

// NOTIFY stays within one database; tables of another prefix in it are woken for nothing, which is harmless.
const CHANNEL = 'durably'
const PROOF_PREFIX = 'proof:'
const PROOF_DEADLINE_MS = 2000
const CONNECT_DEADLINE_MS = 10_000
// Networks drop connections that say nothing for some minutes, and tell neither side.
const CHECK_INTERVAL_MS = 60_000
const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 30_000

/** LISTEN and NOTIFY on one fixed channel of the database. */
export function createPostgresWakeups(source: PostgresSource, env: Env): Wakeups {
  const line = lineOf(source)
  return {
    listen: async (onWake) => {
      const listener: Listener = { line, env, onWake, ear: null, cancelTimer: () => {}, isStopped: false }
      await connect(listener)
      return () => stop(listener)
    },
    notify: (message) => line.notify(message),
  }
}

/** A way to reach the channel. */
interface Line {
  open(events: LineEvents): Promise<Ear>
  notify(message: string): Promise<void>
}

interface LineEvents {
  onMessage(message: string): void
  /** Messages may have been missed; they come again. */
  onGap(): void
  /** No more messages will come. */
  onLost(): void
}

/** A connection that listens. */
interface Ear {
  close(): Promise<void>
  /** Fails when the connection is dead; null where the driver sees to that. */
  readonly check: (() => Promise<unknown>) | null
}

interface Listener {
  readonly line: Line
  readonly env: Env
  readonly onWake: (message: string) => void
  ear: Ear | null
  cancelTimer: () => void
  isStopped: boolean
}

/** Listens, and hears a message of its own: a pooler between us and the database can swallow LISTEN silently. */
async function connect(listener: Listener): Promise<void> {
  const { line, env, onWake } = listener
  const proof = `${PROOF_PREFIX}${env.id()}`
  const proven = Promise.withResolvers<void>()
  const opening = line.open({
    onMessage: (message) => {
      if (message === proof) proven.resolve()
      else if (!message.startsWith(PROOF_PREFIX)) onWake(message)
    },
    onGap: () => onWake(''),
    onLost: () => proven.reject(new DurablyError('store', 'The connection that listened was lost')),
  })
}
