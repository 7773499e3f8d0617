import { atMost, type Env } from '../core/env.ts'
import type { Wakeups } from '../core/wakeups.ts'
import { within } from '../core/within.ts'

/** Tells other processes that runs changed: many changes in one message, few messages. */
export interface Notifier {
  /** A run changed; null: any may have. `urgent` when someone may be waiting to act on it, not only to show it. */
  changed(runId: string | null, urgent: boolean): void
  /** Hears the others from now on, or tries to, until it is closed. */
  listen(): void
  /** Tells first what it has not told yet. */
  close(): Promise<void>
}

export interface NotifierOptions {
  readonly wakeups: Wakeups
  readonly env: Env
  /** The runs that changed elsewhere; null: any. */
  readonly onChange: (runIds: readonly string[] | null) => void
  readonly onError: (error: unknown, context: string) => void
}

interface Message {
  readonly from: string
  /** Null: too many to name. */
  readonly runs: readonly string[] | null
}

const LAZY_MS = 25
// Each message costs the database a transaction.
const GAP_MS = 5
const MAX_NAMED = 100
const LISTEN_AGAIN_MS = 30_000
// Its connection may be dead, and the next one is not.
const SILENT_MS = 10_000
const NOT_SENT = `No answer to a wake-up for ${SILENT_MS / 1000} s`
// A line on which nothing moves keeps nobody from closing.
const PATIENCE_MS = 1000

interface State extends NotifierOptions {
  readonly id: string
  changed: Set<string>
  /** So may any other run have. */
  isAny: boolean
  sending: Promise<void> | null
  sentAt: number
  urgent: boolean
  timer: { readonly dueAt: number; readonly cancel: () => void } | null
  listening: Promise<void> | null
  stop: (() => Promise<void>) | null
  cancelListening: (() => void) | null
  closed: boolean
}

export function createNotifier(options: NotifierOptions): Notifier {
  const { env } = options
  const notifier: State = {
    ...options,
    id: env.id(),
    changed: new Set(),
    isAny: false,
    sending: null,
    sentAt: Number.NEGATIVE_INFINITY,
    urgent: false,
    timer: null,
    listening: null,
    stop: null,
    cancelListening: null,
    closed: false,
  }
  return {
    changed(runId, urgent) {
      if (runId === null) notifier.isAny = true
      else notifier.changed.add(runId)
      notifier.urgent ||= urgent
      schedule(notifier)
    },
    listen() {
      notifier.listening ??= listen(notifier)
    },
    async close() {
      notifier.closed = true
      notifier.timer?.cancel()
      notifier.cancelListening?.()
      await atMost(env, PATIENCE_MS, sendRest(notifier))
      await atMost(env, PATIENCE_MS, hangUp(notifier))
    },
  }
}

async function listen(notifier: State): Promise<void> {
  try {
    notifier.stop = await notifier.wakeups.listen((message) => hear(notifier, message))
  } catch (error) {
    notifier.onError(error, 'listening for wake-ups; until that works there is only polling')
    if (notifier.closed) return
    notifier.cancelListening = notifier.env.after(LISTEN_AGAIN_MS, () => {
      notifier.listening = listen(notifier)
    })
  }
}

function hear({ id, onChange }: State, text: string): void {
  const message = read(text)
  if (message?.from !== id) onChange(message?.runs ?? null)
}

/** What another version or another program sent may be anything: then anything may have changed. */
function read(text: string): Message | null {
  try {
    const { from, runs } = JSON.parse(text) as Partial<Message>
    return { from: String(from), runs: Array.isArray(runs) ? runs : null }
  } catch {
    return null
  }
}

/** What is urgent leaves with all that came up in the same turn; the rest can wait for company. */
function schedule(notifier: State): void {
  const { env, timer, sentAt, urgent, sending, closed } = notifier
  if (sending !== null || closed) return
  const dueAt = Math.max(env.elapsed() + (urgent ? 0 : LAZY_MS), sentAt + GAP_MS)
  if (timer !== null && timer.dueAt <= dueAt) return
  timer?.cancel()
  notifier.timer = { dueAt, cancel: atTime(env, dueAt, () => void send(notifier)) }
}

/** No timer fires in less than a millisecond; what is due already leaves with the next turn. */
function atTime(env: Env, dueAt: number, fn: () => void): () => void {
  const ms = dueAt - env.elapsed()
  if (ms > 0) return env.after(ms, fn)
  let isCancelled = false
  env.turn(() => {
    if (!isCancelled) fn()
  })
  return () => {
    isCancelled = true
  }
}

function send(notifier: State): Promise<void> {
  const { id, env, changed, isAny } = notifier
  const runs = isAny || changed.size > MAX_NAMED ? null : [...changed]
  const text = JSON.stringify({ from: id, runs } satisfies Message)
  const before = { changed: new Set<string>(), isAny: false, urgent: false, timer: null }
  Object.assign(notifier, before, { sentAt: env.elapsed() })
  notifier.sending = tell(notifier, text).finally(() => {
    notifier.sending = null
    if (notifier.isAny || notifier.changed.size > 0) schedule(notifier)
  })
  return notifier.sending
}

async function tell({ wakeups, env, onError }: State, text: string): Promise<void> {
  try {
    await within(env, SILENT_MS, wakeups.notify(text), NOT_SENT)
  } catch (error) {
    onError(error, 'waking other processes')
  }
}

async function hangUp(notifier: State): Promise<void> {
  const { listening, onError } = notifier
  try {
    await listening
    await notifier.stop?.()
  } catch (error) {
    onError(error, 'ending to listen for wake-ups')
  }
}

async function sendRest(notifier: State): Promise<void> {
  await notifier.sending
  while (notifier.isAny || notifier.changed.size > 0) await send(notifier)
}
