import type { Env } from '../core/env.ts'

export interface EventStreamOptions<T> {
  readonly reader: ReadableStreamDefaultReader<T>
  /** Read from it already. */
  readonly first?: T | undefined
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
  let next: Promise<ReadableStreamReadResult<T>> | null = null
  let cancelTimer = (): void => {}
  let isOver = false

  function end(): void {
    if (isOver) return
    isOver = true
    cancelTimer()
    signal.removeEventListener('abort', hangUp)
    onEnd()
  }

  function leave(): void {
    end()
    // What the events end with, nobody is there to hear.
    reader.cancel().catch(() => {})
  }

  let hangUp = leave

  function heartbeat(): Promise<'quiet'> {
    return new Promise((resolve) => {
      cancelTimer = env.after(HEARTBEAT_MS, () => resolve('quiet'))
    })
  }

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        hangUp = () => {
          leave()
          controller.close()
        }
        signal.addEventListener('abort', hangUp)
        const text = first === undefined ? '' : frame(first)
        controller.enqueue(encoder.encode(`retry: ${RECONNECT_MS}\n\n${text}`))
      },
      async pull(controller) {
        next ??= reader.read()
        try {
          const result = await Promise.race([next, heartbeat()])
          cancelTimer()
          if (isOver) return
          if (result === 'quiet') {
            controller.enqueue(encoder.encode(':\n\n'))
            return
          }
          next = null
          if (!result.done) {
            controller.enqueue(encoder.encode(frame(result.value)))
            return
          }
          end()
          controller.close()
        } catch (error) {
          end()
          onError(error)
          controller.error(error)
        }
      },
      cancel: leave,
    },
    { highWaterMark: 1 },
  )
}

/** One event: its data on one line, and a position to resume after where it has one. */
export function toFrame(data: string, id: number | null): string {
  return `${id === null ? '' : `id: ${id}\n`}data: ${data}\n\n`
}
