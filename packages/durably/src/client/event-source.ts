import type { Env } from '../core/env.ts'
import { parseText } from './http-requests.ts'
import { isPassing } from './remote-error.ts'

export interface EventSourceOptions {
  readonly env: Pick<Env, 'after' | 'random'>
  /** Begins a stream that goes on where the last one broke; a 204 says that there is nothing more. */
  readonly connect: (signal: AbortSignal) => Promise<Response>
  /** Whether what this connection brought may be the last there is: then it is asked at once, when it ends. */
  readonly mayBeOver?: () => boolean
}

const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000
/** A server that is there says something, if only a heartbeat, three times as often. */
const SILENCE_MS = 45_000

/**
 * Server-sent events until the server says that there are no more: how a stream ends tells nothing, for what breaks on the
 * way may look like an end. When it ends, or the server is away, it connects again; `null` at both ends of the gap,
 * where something may have been missed. Throws what the server refuses.
 */
export async function* readEvents<T>(
  { env, connect, mayBeOver = () => false }: EventSourceOptions,
  signal: AbortSignal,
): AsyncGenerator<T | null> {
  let failures = 0
  while (true) {
    const connection = new AbortController()
    const hangUp = (): void => connection.abort()
    signal.addEventListener('abort', hangUp)
    const cancelTimer = env.after(SILENCE_MS, hangUp)
    try {
      // The fetch that was given may know no signals: what it answers too late is let go.
      const hungUp = new Promise<never>((_, reject) => {
        connection.signal.onabort = reject
      })
      const answered = connect(connection.signal).then(async (response) => {
        if (connection.signal.aborted) await response.body?.cancel()
        return response
      })
      const response = await Promise.race([answered, hungUp]).finally(cancelTimer)
      if (response.status === 204) return
      // Who only answers, and hangs up, is away as well.
      const onHeard = (): void => void (failures = 0)
      yield* eventsOf<T>(response, env, connection, failures > 0, onHeard)
    } catch (error) {
      // Whoever did not answer may be given up for another.
      if (!connection.signal.aborted && !isPassing(error)) throw error
    } finally {
      signal.removeEventListener('abort', hangUp)
      hangUp()
    }
    signal.throwIfAborted()
    if (mayBeOver()) continue
    yield null
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures++)
    // Not all at once: they all lost the same server.
    await pause(env, longest * (0.5 + env.random() / 2), signal)
    signal.throwIfAborted()
  }
}

/** The events of one connection, until it closes, breaks, or falls silent; `null` before them after a gap. */
async function* eventsOf<T>(
  response: Response,
  env: Pick<Env, 'after'>,
  connection: AbortController,
  isAgain: boolean,
  onHeard: () => void,
): AsyncGenerator<T | null> {
  const reader = response.body?.getReader()
  if (reader === undefined) return
  const cancel = (): void => void reader.cancel().catch(() => {})
  connection.signal.onabort = cancel
  if (connection.signal.aborted) cancel()
  const decoder = new TextDecoder()
  let line = ''
  if (isAgain) yield null
  while (true) {
    const cancelTimer = env.after(SILENCE_MS, cancel)
    // What broke and what closed are the same: it may go on elsewhere.
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
    cancelTimer()
    if (done) return
    // What came before is not searched again: a long event comes in many pieces.
    const text = decoder.decode(value, { stream: true })
    const [more, ...lines] = text.split('\n') as [string, ...string[]]
    line += more
    for (const next of lines) {
      if (line.startsWith('data: ')) {
        onHeard()
        yield (await parseText(line.slice(6))) as T
      } else if (line === ':') onHeard()
      line = next
    }
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
          if (next.done === true) controller.close()
          else controller.enqueue(next.value)
        } catch (error) {
          // Of what was cancelled meanwhile nobody hears, and it takes no more.
          if (!stop.signal.aborted) throw error
        }
      },
      cancel() {
        stop.abort()
        events.return(undefined).catch(() => {})
      },
    },
    { highWaterMark: 0 },
  )
}
