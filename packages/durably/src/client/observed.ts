import type { Env } from '../core/env.ts'

/** A state to read and to listen to, in the form that `useSyncExternalStore` and similar functions take. */
export interface Observed<T> {
  /** What is known now: the same object until something changes. */
  get(): T
  /** What is known before anything is read, for example on a server that renders the page. */
  readonly initial: T
  /** Calls `listener` after changes. The state is kept up to date while someone listens. Returns how to stop it. */
  subscribe(listener: () => void): () => void
}

export interface ObservedOptions<T> {
  readonly initial: T
  /** Follows what is observed, until the signal aborts. */
  readonly follow: (signal: AbortSignal) => void
  /** It is followed no more. */
  readonly onIdle?: () => void
  readonly env: Pick<Env, 'after'>
}

/** A frame: a thousand events that come together are one change. */
const NOTIFY_MS = 16
/** Components are taken away and put back at once, in development and between pages: nothing is cut for that. */
const GRACE_MS = 100

export interface Observing<T> extends Observed<T> {
  /** What a function makes of it is worked out once it is to be shown. */
  set(change: Partial<T> | (() => Partial<T>)): void
}

export function createObserved<T extends object>({
  initial,
  follow,
  onIdle,
  env,
}: ObservedOptions<T>): Observing<T> {
  const listeners = new Set<() => void>()
  let shown = initial
  let changes: (() => Partial<T>)[] = []
  let stop: AbortController | null = null
  let cancelStop = (): void => {}

  function notify(): void {
    const next = changes.reduce((state, change) => ({ ...state, ...change() }), shown)
    changes = []
    if (!isChanged(shown, next)) return
    shown = next
    for (const listener of listeners) listener()
  }

  return {
    initial,
    get: () => shown,
    set(change) {
      if (changes.length === 0) env.after(NOTIFY_MS, notify)
      if (typeof change !== 'function') changes.push(() => change)
      else if (changes.at(-1) !== change) changes.push(change)
    },
    subscribe(listener) {
      // The same function may listen twice.
      const own = (): void => listener()
      listeners.add(own)
      cancelStop()
      if (stop === null) {
        stop = new AbortController()
        follow(stop.signal)
      }
      return () => {
        if (!listeners.delete(own) || listeners.size > 0) return
        cancelStop = env.after(GRACE_MS, () => {
          stop?.abort()
          stop = null
          onIdle?.()
        })
      }
    },
  }
}

function isChanged<T extends object>(before: T, after: T): boolean {
  return Object.entries(after).some(([name, value]) => value !== before[name as keyof T])
}

/** Reads a stream to its end, or until the signal aborts. Throws what the stream breaks with. */
export async function readUntil<T>(
  stream: ReadableStream<T>,
  signal: AbortSignal,
  onValue: (value: T) => void,
): Promise<void> {
  const reader = stream.getReader()
  const cancel = (): void => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', cancel)
  try {
    while (!signal.aborted) {
      const { done, value } = await reader.read()
      if (done || signal.aborted) return
      onValue(value)
    }
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}

/** A state that never changes. */
export function always<T>(state: T): Observed<T> {
  return { initial: state, get: () => state, subscribe: () => () => {} }
}
