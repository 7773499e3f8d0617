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
  /** Of this run, from now on or from before. */
  readonly changes: Changes<T>
  /** Whether the run cannot have ended before its changes were watched: then it is not asked first. */
  readonly isNew: boolean
  readonly env: Pick<Env, 'after'>
  readonly timeoutMs: number | null
  readonly timeoutMessage: string
  readonly signal: AbortSignal | null
  /** There was no answer; it is asked again, unless this throws. */
  readonly onError: (error: unknown) => void
}

/** The completed run, whichever process executes it. Everything else it can come to rejects. */
export async function waitForRun<T extends Ending>(options: WaitOptions<T>): Promise<T> {
  const { changes, env, timeoutMs, timeoutMessage, signal, runId, read, onError } = options
  const cancelTimeout =
    timeoutMs === null
      ? null
      : env.after(timeoutMs, () => changes.fail(new TimeoutError(timeoutMessage)))
  const onAbort = (): void => changes.fail(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    signal?.throwIfAborted()
    let ended = options.isNew ? await changes.next() : null
    while (ended === null) {
      const run = await read(runId).catch((error: unknown) => {
        onError(error)
        return undefined
      })
      if (run === null) throw new NotFoundError(`Run not found: ${runId}`)
      ended = run !== undefined && isTerminal(run.status) ? run : await changes.next()
    }
    return completed(ended, options)
  } finally {
    cancelTimeout?.()
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

/** The changes of a run. */
export interface Changes<T> {
  fail(reason: unknown): void
  /** Resolves at the next change since the last call, or after a while: with the run if it is known to have ended. */
  next(): Promise<T | null>
  stop(): void
}

interface ChangesOptions<T> {
  /** Calls back when the run may have changed, with the run if it is known to have ended; the result stops that. */
  readonly watch: (onChange: (ended: T | null) => void) => () => void
  readonly env: Pick<Env, 'after'>
  readonly pollMs: number
}

/** Notes the changes of a run from now on. */
export function watchChanges<T>({ watch, env, pollMs }: ChangesOptions<T>): Changes<T> {
  let changed = false
  let known: T | null = null
  let failure: { readonly reason: unknown } | null = null
  let wake: (() => void) | null = null
  const stop = watch((ended) => {
    changed = true
    known ??= ended
    wake?.()
  })
  return {
    stop,
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
      return known
    },
  }
}
