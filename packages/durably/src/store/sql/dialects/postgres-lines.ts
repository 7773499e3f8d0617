import { DurablyError, ValidationError } from '../../../core/error.ts'
import { withstand } from './withstand.ts'
import type { PgPool, PGliteClient, PostgresJsClient, PostgresSource } from './postgres-client.ts'

/** The channel on which the processes of a database talk, as one driver reaches it. */
export interface Line {
  open(onMessage: (message: string) => void): Promise<Ear>
  notify(message: string): Promise<void>
}

/** A connection that listens. */
export interface Ear {
  /** Resolves when no more messages will come. */
  readonly lost: Promise<void>
  /** Fails when the connection is dead without having said so. */
  check(): Promise<void>
  close(): Promise<void>
}

/** Throws `ValidationError` for a source of an unknown kind. */
export function lineTo(source: PostgresSource): Line {
  const isAny = typeof source === 'function' || (typeof source === 'object' && source !== null)
  if (isAny && 'connect' in source) return lineToPool(source)
  if (isAny && 'notify' in source) return lineToPostgresJs(source)
  if (isAny && 'listen' in source) return lineToPGlite(source)
  throw new ValidationError('postgresWakeups takes a pg.Pool, a postgres.js client or a PGlite')
}

// NOTIFY stays within one database; who uses other tables in it is woken for nothing, which is harmless.
const CHANNEL = 'durably'
const NOTIFY = 'select pg_notify($1, $2)'

function lineToPool(pool: PgPool): Line {
  withstand(pool)
  return {
    open: async (onMessage) => {
      if (pool.options?.max === 1) {
        throw new DurablyError(
          'store',
          'LISTEN needs a connection of its own: a pool of one has none',
        )
      }
      const client = await pool.connect()
      client.on('notification', ({ channel, payload = '' }) => {
        if (channel === CHANNEL) onMessage(payload)
      })
      const lost = new Promise<void>((resolve) => {
        client.on('error', () => resolve())
        client.on('end', () => resolve())
      })
      const close = async () => client.release(true)
      try {
        await client.query({ text: `listen ${CHANNEL}`, values: [] })
      } catch (error) {
        await close()
        throw error
      }
      return {
        lost,
        check: async () => void (await client.query({ text: 'select 1', values: [] })),
        close,
      }
    },
    notify: async (message) => void (await pool.query(NOTIFY, [CHANNEL, message])),
  }
}

/** It connects again by itself, and says so. */
function lineToPostgresJs(sql: PostgresJsClient): Line {
  return {
    open: async (onMessage) => {
      let connections = 0
      const { unlisten } = await sql.listen(CHANNEL, onMessage, () => {
        connections++
        if (connections > 1) onMessage('')
      })
      return { ...neverLost, close: unlisten }
    },
    notify: async (message) => void (await sql.notify(CHANNEL, message)),
  }
}

/** In this process: there is no connection to lose. */
function lineToPGlite(pglite: PGliteClient): Line {
  return {
    open: async (onMessage) => ({ ...neverLost, close: await pglite.listen(CHANNEL, onMessage) }),
    notify: async (message) => void (await pglite.query(NOTIFY, [CHANNEL, message])),
  }
}

const neverLost = { lost: new Promise<void>(() => {}), check: async () => {} }
