import type { Env } from '../../../core/env.ts'
import { DurablyError } from '../../../core/error.ts'
import type { Wakeups } from '../../../core/wakeups.ts'
import { within } from '../../../core/within.ts'
import type { PostgresSource } from './postgres-client.ts'
import { lineTo, type Ear, type Line } from './postgres-lines.ts'

/** LISTEN and NOTIFY on one channel of the database. Throws `ValidationError` for a source of another kind. */
export function createPostgresWakeups(source: PostgresSource, env: Env): Wakeups {
  const line = lineTo(source)
  return {
    listen: async (onWake) => {
      const listener: Listener = { line, env, onWake, ear: null, cancelTimer: () => {} }
      await connect(listener)
      return () => stop(listener)
    },
    notify: (message) => line.notify(message),
  }
}

interface Listener {
  readonly line: Line
  readonly env: Env
  readonly onWake: (message: string) => void
  /** Null while it has to connect again; undefined when it was stopped. */
  ear: Ear | null | undefined
  cancelTimer: () => void
}

const PROOF_PREFIX = 'proof:'
const PROOF_DEADLINE_MS = 2000
const CONNECT_DEADLINE_MS = 10_000
// Networks drop connections that say nothing for some minutes, and tell neither side.
const CHECK_INTERVAL_MS = 60_000
const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 30_000

/** Listens, and hears a message of its own: poolers swallow LISTEN without a word. */
async function connect(listener: Listener): Promise<void> {
  const { line, env, onWake } = listener
  const proof = `${PROOF_PREFIX}${env.id()}`
  let onProof = (): void => {}
  const proven = new Promise<void>((resolve) => {
    onProof = resolve
  })
  const ear = await open(listener, (message) => {
    if (message === proof) onProof()
    else if (!message.startsWith(PROOF_PREFIX)) onWake(message)
  })
  const lost = ear.lost.then(() => Promise.reject(new DurablyError('store', ENDED)))
  try {
    const heard = line.notify(proof).then(() => proven)
    await within(env, PROOF_DEADLINE_MS, Promise.race([heard, lost]), NOT_HEARD)
    if (listener.ear === undefined) throw new DurablyError('store', 'Stopped while it connected')
  } catch (error) {
    await ear.close()
    throw error
  }
  listener.ear = ear
  lost.catch(() => recover(listener, ear))
  checkLater(listener, ear)
}

async function open({ line, env }: Listener, onMessage: (message: string) => void): Promise<Ear> {
  const opening = line.open(onMessage)
  try {
    return await within(env, CONNECT_DEADLINE_MS, opening, NOT_CONNECTED)
  } catch (error) {
    opening.then((ear) => ear.close()).catch(() => {})
    throw error
  }
}

const NOT_CONNECTED = `No connection to listen on within ${CONNECT_DEADLINE_MS / 1000} s: is the pool exhausted?`

const ENDED = 'The connection to listen on has ended as soon as it was there'

const NOT_HEARD =
  `LISTEN does not work here: a NOTIFY to this process did not arrive within ${PROOF_DEADLINE_MS / 1000} s. ` +
  'A pooler in transaction mode (PgBouncer, Supavisor, …) swallows LISTEN: give postgresWakeups a pool that ' +
  'connects to the database itself.'

function checkLater(listener: Listener, ear: Ear): void {
  listener.cancelTimer = listener.env.after(CHECK_INTERVAL_MS, () => void check(listener, ear))
}

async function check(listener: Listener, ear: Ear): Promise<void> {
  try {
    await within(listener.env, CONNECT_DEADLINE_MS, ear.check(), NOT_CONNECTED)
  } catch {
    recover(listener, ear)
  }
  if (listener.ear === ear) checkLater(listener, ear)
}

function recover(listener: Listener, ear: Ear): void {
  if (listener.ear !== ear) return
  listener.ear = null
  listener.cancelTimer()
  ear.close().catch(() => {})
  reconnectLater(listener, FIRST_RETRY_MS)
}

function reconnectLater(listener: Listener, ms: number): void {
  const { env } = listener
  const jittered = ms * (0.5 + env.random() / 2)
  listener.cancelTimer = env.after(jittered, () => void reconnect(listener, ms))
}

async function reconnect(listener: Listener, ms: number): Promise<void> {
  try {
    await connect(listener)
  } catch {
    // Polling goes on beneath, and whatever else uses the database tells of its trouble.
    if (listener.ear !== undefined) reconnectLater(listener, Math.min(ms * 2, MAX_RETRY_MS))
    return
  }
  // What was sent meanwhile is missed: anything may have changed.
  listener.onWake('')
}

async function stop(listener: Listener): Promise<void> {
  const { ear } = listener
  listener.ear = undefined
  listener.cancelTimer()
  await ear?.close()
}
