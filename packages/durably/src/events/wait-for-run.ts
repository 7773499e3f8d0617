import type { Env } from '../core/env.ts'
import {
  CancelledError,
  NotFoundError,
  RunFailedError,
  TimeoutError,
  type ErrorDetail,
} from '../core/error.ts'
import { isTerminal, type RunStatus } from '../core/transitions.ts'
import type { WaitHow } from '../core/wait-how.ts'

interface Ending {
  readonly id: string
  readonly status: RunStatus
}

export interface WaitOptions<T extends Ending> extends WaitHow {
  readonly runId: string
  readonly read: (runId: string) => Promise<T | null>
  readonly errorOf: (run: T) => ErrorDetail | null
  /** Of this run, from now on or from before. */
  readonly changes: Changes<T>
  /** Whether the run cannot have ended before its changes were watched: then it is not asked first. */
  readonly isNew: boolean
  readonly env: Pick<Env, 'after'>
  /** There was no answer; it is asked again, unless this throws. */
  readonly onError: (error: unknown) => void
}

/** The completed run, whichever process executes it. Everything else it can come to rejects. */
export async function waitForRun<T extends Ending>(options: WaitOptions<T>): Promise<T> {
  const { env, timeoutMs, timeoutMessage, signal } = options
  const { promise: givenUp, reject } = Promise.withResolvers<never>()
  const cancelTimeout =
    timeoutMs === null ? null : env.after(timeoutMs, () => reject(new TimeoutError(timeoutMessage)))
  const onAbort = (): void => reject(signal?.reason)
  signal?.addEventListener('abort', onAbort)
  try {
    signal?.throwIfAborted()
    // A read that has no answer yet may never have one.
    return completed(await Promise.race([untilEnded(options), givenUp]), options)
  } finally {
    cancelTimeout?.()
    signal?.removeEventListener('abort', onAbort)
  }
}

async function untilEnded<T extends Ending>(options: WaitOptions<T>): Promise<T> {
  const { changes, isNew, runId, read, onError } = options
  let ended = isNew ? await changes.next() : null
  while (ended === null) {
    const run = await read(runId).catch((error: unknown) => {
      onError(error)
      return undefined
    })
    if (run === null) throw new NotFoundError(`Run not found: ${runId}`)
    ended = run !== undefined && isTerminal(run.status) ? run : await changes.next()
  }
  return ended
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
  /** Resolves at the next change since the last call, or after a while: with the run if it is known to have ended. */
  next(): Promise<T | null>
  /** There are no more: whoever still waits for the next one waits for ever. */
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
  let stopped = false
  let known: T | null = null
  let cancel = (): void => {}
  let wake = cancel
  const unwatch = watch((ended) => {
    changed = true
    known ??= ended
    wake()
  })
  return {
    stop() {
      stopped = true
      unwatch()
      cancel()
    },
    async next() {
      if (!changed || stopped) {
        await new Promise<void>((resolve) => {
          if (stopped) return
          cancel = env.after(pollMs, resolve)
          wake = () => {
            cancel()
            resolve()
          }
        })
      }
      changed = false
      return known
    },
  }
}
