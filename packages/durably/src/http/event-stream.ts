import type { Env } from '../core/env.ts'

export interface EventStreamOptions<T> {
  readonly reader: ReadableStreamDefaultReader<T>
  /** Where reading has begun already. */
  readonly first?: Promise<ReadableStreamReadResult<T>> | undefined
  readonly frame: (event: T) => string
  readonly env: Pick<Env, 'after'>
  /** Ended by the client going away, besides by the stream's own reader. */
  readonly signal: AbortSignal
  readonly onEnd: () => void
  readonly onError: (error: unknown) => void
}

/** Proxies close what is silent for longer than a minute, or half of one. */
const HEARTBEAT_MS = 15_000
/** How long a browser waits before it connects again. */
const RECONNECT_MS = 1000

const encoder = new TextEncoder()

/**
 * The events as server-sent events, read no faster than the client takes them. When the client goes, the reader is
 * cancelled, and nothing is left.
 */
export function createEventStream<T>(options: EventStreamOptions<T>): ReadableStream<Uint8Array> {
  const { reader, first, frame, env, signal, onEnd, onError } = options
  const next = createNext(reader, env, first)
  let isOver = false
  let hangUp = leave

  function end(): void {
    if (isOver) return
    isOver = true
    next.cancel()
    signal.removeEventListener('abort', hangUp)
    onEnd()
  }

  function leave(): void {
    end()
    // What the events end with, nobody is there to hear.
    reader.cancel().catch(() => {})
  }

  async function pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const result = await next.take()
    if (isOver) return
    if (result === 'quiet') {
      controller.enqueue(encoder.encode(':\n\n'))
    } else if (result.done) {
      end()
      controller.close()
    } else {
      controller.enqueue(encoder.encode(frame(result.value)))
    }
  }

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        hangUp = () => {
          leave()
          controller.close()
        }
        // Of what is past nobody is told.
        if (signal.aborted) return hangUp()
        signal.addEventListener('abort', hangUp)
        controller.enqueue(encoder.encode(`retry: ${RECONNECT_MS}\n\n`))
      },
      async pull(controller) {
        try {
          await pull(controller)
        } catch (error) {
          leave()
          onError(error)
          throw error
        }
      },
      cancel: leave,
    },
    { highWaterMark: 1 },
  )
}

interface Next<T> {
  /** The next event; or `quiet`, when none came for a while: then it is still to be taken. */
  take(): Promise<ReadableStreamReadResult<T> | 'quiet'>
  cancel(): void
}

/** Reads once for each event, however long that takes: a race would keep every heartbeat until the next event. */
function createNext<T>(
  reader: ReadableStreamDefaultReader<T>,
  env: Pick<Env, 'after'>,
  first: Promise<ReadableStreamReadResult<T>> | undefined,
): Next<T> {
  let begun = first
  let read: { readonly result: Promise<ReadableStreamReadResult<T>> } | null = null
  let isReading = false
  let wake = (): void => {}
  let cancelTimer = (): void => {}

  function begin(): void {
    if (isReading || read !== null) return
    isReading = true
    const result = begun ?? reader.read()
    begun = undefined
    const settled = (): void => {
      isReading = false
      read = { result }
      wake()
    }
    result.then(settled, settled)
  }

  return {
    async take() {
      begin()
      if (read === null) {
        await new Promise<void>((resolve) => {
          wake = resolve
          cancelTimer = env.after(HEARTBEAT_MS, resolve)
        })
        cancelTimer()
      }
      const taken = read
      read = null
      return taken === null ? 'quiet' : taken.result
    },
    cancel() {
      cancelTimer()
      wake()
    },
  }
}

/** One event: its data on one line, and a position to resume after where it has one. */
export function toFrame(data: string, id: number | null): string {
  return `${id === null ? '' : `id: ${id}\n`}data: ${data}\n\n`
}
