import type { Env } from '../core/env.ts'
import {
  CancelledError,
  NotFoundError,
  RunFailedError,
  TimeoutError,
  type ErrorDetail,
} from '../core/error.ts'
import { isTerminal, type RunStatus } from '../core/transitions.ts'

interface Ending {
  readonly id: string
  readonly status: RunStatus
}

export interface WaitOptions<T extends Ending> {
  readonly runId: string
  readonly read: (runId: string) => Promise<T | null>
  readonly errorOf: (run: T) => ErrorDetail | null
  /** Calls back when the run may have changed; the result stops that. */
  readonly watch: (onChange: () => void) => () => void
  readonly env: Pick<Env, 'after'>
  readonly pollMs: number
  readonly timeoutMs: number | null
  readonly timeoutMessage: string
  readonly signal: AbortSignal | null
  /** There was no answer; it is asked again, unless this throws. */
  readonly onError: (error: unknown) => void
}

/** The completed run, whichever process executes it. Everything else it can come to rejects. */
export async function waitForRun<T extends Ending>(options: WaitOptions<T>): Promise<T> {
  const { env, timeoutMs, timeoutMessage, signal, watch, runId, read, onError } = options
  const changes = createChanges(env, options.pollMs)
  const stops = [
    watch(changes.mark),
    timeoutMs === null
      ? () => {}
      : env.after(timeoutMs, () => changes.fail(new TimeoutError(timeoutMessage))),
  ]
  const onAbort = (): void => changes.fail(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    signal?.throwIfAborted()
    while (true) {
      const run = await read(runId).catch((error: unknown) => {
        onError(error)
        return undefined
      })
      if (run === null) throw new NotFoundError(`Run not found: ${runId}`)
      if (run !== undefined && isTerminal(run.status)) return completed(run, options)
      await changes.next()
    }
  } finally {
    for (const stop of stops) stop()
    signal?.removeEventListener('abort', onAbort)
  }
}

function completed<T extends Ending>(run: T, { errorOf }: WaitOptions<T>): T {
  if (run.status === 'cancelled') throw new CancelledError(`Run ${run.id} was cancelled`)
  if (run.status === 'failed') {
    throw new RunFailedError(run.id, errorOf(run) ?? { name: 'Error', message: 'unknown error' })
  }
  return run
}

interface Changes {
  mark(): void
  fail(reason: unknown): void
  /** Resolves at the next change since the last call, or after a while without one. */
  next(): Promise<void>
}

function createChanges(env: Pick<Env, 'after'>, pollMs: number): Changes {
  let changed = false
  let failure: { readonly reason: unknown } | null = null
  let wake: (() => void) | null = null
  return {
    mark() {
      changed = true
      wake?.()
    },
    fail(reason) {
      failure ??= { reason }
      wake?.()
    },
    async next() {
      if (!changed && failure === null) {
        await new Promise<void>((resolve) => {
          const cancel = env.after(pollMs, resolve)
          wake = () => {
            cancel()
            resolve()
          }
        })
      }
      wake = null
      changed = false
      if (failure !== null) throw failure.reason
    },
  }
}
