import type { Env } from '../core/env.ts'
import { parseText } from './http-requests.ts'
import { isPassing } from './remote-error.ts'

export interface EventSourceOptions {
  readonly env: Pick<Env, 'after' | 'random'>
  /** Begins a stream that goes on where the last one broke; a 204 says that there is nothing more. */
  readonly connect: (signal: AbortSignal) => Promise<Response>
  /** Whether the server has said all, when it closes the stream. */
  readonly isOver: () => boolean
}

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000
/** A server that is there says something, if only a heartbeat, three times as often. */
const SILENCE_MS = 45_000

/**
 * Server-sent events until all is said; `null` wherever the connection broke and something may have been missed.
 * When it breaks, or the server is away, it connects again. Throws what the server refuses.
 */
export async function* readEvents<T>(
  { env, connect, isOver }: EventSourceOptions,
  signal: AbortSignal,
): AsyncGenerator<T | null> {
  let failures = 0
  while (true) {
    try {
      const response = await connect(signal)
      if (response.status === 204) return
      failures = 0
      yield* eventsOf<T>(response, env)
      signal.throwIfAborted()
      if (isOver()) return
    } catch (error) {
      signal.throwIfAborted()
      if (!isPassing(error)) throw error
    }
    yield null
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures++)
    // Not all at once: they all lost the same server.
    await pause(env, longest * (0.5 + env.random() / 2), signal)
    signal.throwIfAborted()
  }
}

/** The events of one connection, until it closes, breaks, or falls silent. */
async function* eventsOf<T>(response: Response, env: Pick<Env, 'after'>): AsyncGenerator<T> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const decoder = new TextDecoder()
  let rest = ''
  try {
    while (true) {
      const cancelTimer = env.after(SILENCE_MS, () => void reader.cancel().catch(() => {}))
      // What broke and what closed are the same: it may go on elsewhere.
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
      cancelTimer()
      if (done) return
      const frames = (rest + decoder.decode(value, { stream: true })).split('\n\n')
      rest = frames.pop() ?? ''
      for (const frame of frames) {
        const data = /^data: (.*)$/m.exec(frame)?.[1]
        if (data !== undefined) yield (await parseText(data)) as T
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

function pause(env: Pick<Env, 'after'>, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const cancel = env.after(ms, end)
    signal.addEventListener('abort', end)
  })
}

/** The events as a stream that reads no further ahead than its reader. */
export function toStream<T>(read: (signal: AbortSignal) => AsyncGenerator<T>): ReadableStream<T> {
  const stop = new AbortController()
  const events = read(stop.signal)
  return new ReadableStream<T>(
    {
      async pull(controller) {
        try {
          const next = await events.next()
          if (stop.signal.aborted) return
          if (next.done === true) controller.close()
          else controller.enqueue(next.value)
        } catch (error) {
          if (!stop.signal.aborted) throw error
        }
      },
      cancel() {
        stop.abort()
        // Also where the fetch that was given knows no signals: what was opened is closed.
        events.return(undefined).catch(() => {})
      },
    },
    { highWaterMark: 0 },
  )
}
