import { encode, type Codec } from '../core/codec.ts'
import type { Env } from '../core/env.ts'
import { ValidationError } from '../core/error.ts'
import { chunkData } from '../core/journal.ts'
import { requireText } from '../core/require-text.ts'
import type { Outbox } from './outbox.ts'

/** The streams that one attempt of a step writes. */
export interface Chunks {
  /** Throws `ValidationError` for a name that is none, or that another open stream of the attempt has. */
  open<T>(name: string): WritableStream<T>
  /** The attempt is over: nothing more of it is written. */
  end(): void
}

export interface ChunksOptions {
  readonly step: string
  readonly index: number
  readonly attempt: number
  readonly outbox: Outbox
  readonly codec: Codec
  readonly env: Env
  readonly signal: AbortSignal
}

/** So many may be on their way to the database; whoever writes faster waits. */
const MAX_UNSTORED = 256

export function createChunks(options: ChunksOptions): Chunks {
  const { step, signal } = options
  // Made by steps that write streams alone: the others are many.
  let open: Map<string, WritableStreamDefaultController> | null = null
  let isOver = false

  function end(): void {
    isOver = true
    if (open === null) return
    const reason: unknown = signal.reason ?? new Error(`The attempt of step "${step}" is over`)
    for (const controller of open.values()) controller.error(reason)
    open.clear()
    signal.removeEventListener('abort', end)
  }

  function begin(): Map<string, WritableStreamDefaultController> {
    signal.addEventListener('abort', end)
    return new Map()
  }

  return {
    open<T>(name: string) {
      requireText(name, 'stream name')
      if (isOver) throw new ValidationError(`stream "${name}" is opened after step "${step}" ended`)
      const controllers = (open ??= begin())
      if (controllers.has(name)) {
        throw new ValidationError(`stream "${name}" of step "${step}" is open already`)
      }
      const unstored = createUnstored(options.outbox)
      return new WritableStream<T>({
        start: (controller) => void controllers.set(name, controller),
        async write(chunk, controller) {
          await add(options, name, chunk, unstored, controller)
          await unstored.below(MAX_UNSTORED)
        },
        async close() {
          await unstored.below(1)
          controllers.delete(name)
        },
        abort: () => void controllers.delete(name),
      })
    },
    end,
  }
}

async function add(
  { step, index, attempt, outbox, codec, env }: ChunksOptions,
  stream: string,
  chunk: unknown,
  unstored: Unstored,
  controller: WritableStreamDefaultController,
): Promise<void> {
  const encoded = await encode(chunk, codec, `a chunk of stream "${stream}"`)
  // Ended while it was encoded.
  if (controller.signal.aborted) return
  unstored.begin()
  outbox.add({
    kind: 'step:chunk',
    name: step,
    at: env.now(),
    data: chunkData(index, attempt, stream, encoded),
    onCommitted: unstored.end,
    onRejected(error) {
      unstored.end()
      controller.error(error)
    },
  })
}

/** Counts what is on its way. */
interface Unstored {
  begin(): void
  end(): void
  /** Resolves when fewer than so many are. */
  below(count: number): Promise<void>
}

function createUnstored({ flush }: Outbox): Unstored {
  let count = 0
  let waiting: { readonly below: number; readonly resolve: () => void } | null = null
  return {
    begin: () => void count++,
    end() {
      count--
      if (waiting === null || count >= waiting.below) return
      waiting.resolve()
      waiting = null
    },
    async below(limit) {
      // One write, or the close, at a time: the stream sees to that.
      if (count < limit) return
      flush()
      await new Promise<void>((resolve) => {
        waiting = { below: limit, resolve }
      })
    },
  }
}
