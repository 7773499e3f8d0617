import type { Env } from '../core/env.ts'
import type { Wakeups } from '../core/wakeups.ts'

/** Tells other processes that runs changed: many changes in one message, few messages. */
export interface Notifier {
  /** A run changed. `urgent` when someone may be waiting to act on it, not only to show it. */
  changed(runId: string, urgent: boolean): void
  /** Resolves when it hears the others, or when it is known that it does not yet: it goes on trying. */
  listen(): Promise<void>
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

interface State extends NotifierOptions {
  readonly id: string
  changed: Set<string>
  sending: boolean
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
    sending: false,
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
  const { env, timer, sentAt, urgent, sending } = notifier
  if (sending) return
  const dueAt = Math.max(env.now() + (urgent ? 0 : LAZY_MS), sentAt + GAP_MS)
  if (timer !== null && timer.dueAt <= dueAt) return
  timer?.cancel()
  notifier.timer = { dueAt, cancel: atTime(env, dueAt, () => void send(notifier)) }
}

/** No timer fires in less than a millisecond; what is due already leaves with the next turn. */
function atTime(env: Env, time: number, fn: () => void): () => void {
  const ms = time - env.now()
  if (ms > 0) return env.after(ms, fn)
  let isCancelled = false
  env.turn(() => {
    if (!isCancelled) fn()
  })
  return () => {
    isCancelled = true
  }
}

async function send(notifier: State): Promise<void> {
  const { id, env, changed, wakeups, onError } = notifier
  const runs = changed.size > MAX_NAMED ? null : [...changed]
  const sentAt = env.now()
  Object.assign(notifier, { changed: new Set(), timer: null, sending: true, urgent: false, sentAt })
  try {
    await wakeups.notify(JSON.stringify({ from: id, runs } satisfies Message))
  } catch (error) {
    onError(error, 'waking other processes')
  }
  notifier.sending = false
  if (notifier.changed.size > 0) schedule(notifier)
}
