import { within, type Env } from '../core/env.ts'
import type { Wakeups } from '../core/wakeups.ts'

/** Tells other processes that runs changed: many changes in one message, few messages. */
export interface Notifier {
  /** A run changed; null: any may have. `urgent` when someone may be waiting to act on it, not only to show it. */
  changed(runId: string | null, urgent: boolean): void
  /** Resolves when it hears the others, or when it is known that it does not yet: it goes on trying. */
  listen(): Promise<void>
  /** Tells first what it has not told yet. */
  close(): Promise<void>
}

export interface NotifierOptions {
  readonly wakeups: Wakeups
  readonly env: Env
  /** The run that changed elsewhere; null: any. */
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
// A line that is dead keeps nobody from closing.
const CLOSE_WITHIN_MS = 1000

interface State extends NotifierOptions {
  readonly id: string
  changed: Set<string | null>
  sending: Promise<void> | null
  sentAt: number
  urgent: boolean
  timer: { readonly dueAt: number; readonly cancel: () => void } | null
  stop: (() => Promise<void>) | null
  cancelListening: (() => void) | null
  closed: boolean
}

export function createNotifier(options: NotifierOptions): Notifier {
  const notifier: State = {
    ...options,
    id: options.env.id(),
    changed: new Set(),
    sending: null,
    sentAt: Number.NEGATIVE_INFINITY,
    urgent: false,
    timer: null,
    stop: null,
    cancelListening: null,
    closed: false,
  }
  return {
    changed(runId, urgent) {
      notifier.changed.add(runId)
      notifier.urgent ||= urgent
      schedule(notifier)
    },
    listen: () => listen(notifier),
    async close() {
      notifier.closed = true
      notifier.timer?.cancel()
      await within(notifier.env, CLOSE_WITHIN_MS, sendRest(notifier))
      notifier.cancelListening?.()
      await notifier.stop?.()
    },
  }
}

async function listen(notifier: State): Promise<void> {
  try {
    notifier.stop = await notifier.wakeups.listen((message) => hear(notifier, message))
    if (notifier.closed) await notifier.stop()
  } catch (error) {
    notifier.onError(error, 'listening for wake-ups; until that works there is only polling')
    if (notifier.closed) return
    const again = (): void => void listen(notifier)
    notifier.cancelListening = notifier.env.after(LISTEN_AGAIN_MS, again)
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
  const { id, env, changed } = notifier
  const isAny = changed.has(null) || changed.size > MAX_NAMED
  const runs = isAny ? null : [...changed].filter((runId) => runId !== null)
  const text = JSON.stringify({ from: id, runs } satisfies Message)
  const sentAt = env.elapsed()
  const sending = tell(notifier, text).finally(() => {
    notifier.sending = null
    if (notifier.changed.size > 0) schedule(notifier)
  })
  Object.assign(notifier, { changed: new Set(), timer: null, sending, urgent: false, sentAt })
  return sending
}

async function tell({ wakeups, onError }: State, text: string): Promise<void> {
  try {
    await wakeups.notify(text)
  } catch (error) {
    onError(error, 'waking other processes')
  }
}

async function sendRest(notifier: State): Promise<void> {
  await notifier.sending
  if (notifier.changed.size > 0) await send(notifier)
}
