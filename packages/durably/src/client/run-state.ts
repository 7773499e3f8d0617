import type { Progress, Run } from '../core/run.ts'
import type { Log } from '../core/step.ts'
import { isTerminal, type RunStatus } from '../core/transitions.ts'

/** What a page shows of a run. */
export interface RunState<TRun extends Run = Run> {
  /** Null until it is read, and if there is no such run. */
  readonly run: TRun | null
  readonly status: RunStatus | null
  readonly output: TRun['output'] | null
  /** The message of the error that the run failed with. */
  readonly error: string | null
  readonly progress: Progress | null
  /** Oldest first; if there are many, the last ones. */
  readonly logs: readonly Log[]
  /** What its steps stream, by the names of the streams, without what failed attempts wrote. */
  readonly streams: Readonly<Record<string, readonly unknown[]>>
  readonly isPending: boolean
  readonly isRunning: boolean
  readonly isWaiting: boolean
  readonly isCompleted: boolean
  readonly isFailed: boolean
  readonly isCancelled: boolean
  /** The run has ended. */
  readonly isTerminal: boolean
  /** The run has not ended. */
  readonly isActive: boolean
  /** Nothing is known yet. */
  readonly isLoading: boolean
  /**
   * Why nothing can be known: no such run, or no access. If a server is away or a database busy, it is asked again
   * instead. While `isLoading`, it says why an instance in the page may keep you waiting: there are no tables yet, or a
   * transaction stays open.
   */
  readonly loadError: Error | null
}

/** What is to be shown of a run. */
export function describeRun(
  run: Run | null,
  status = run?.status ?? null,
): Omit<RunState, 'logs' | 'streams' | 'isLoading' | 'loadError'> {
  return {
    run,
    status,
    output: run?.output ?? null,
    error: run?.error ?? null,
    progress: run?.progress ?? null,
    isPending: status === 'pending',
    isRunning: status === 'running',
    isWaiting: status === 'waiting',
    isCompleted: status === 'completed',
    isFailed: status === 'failed',
    isCancelled: status === 'cancelled',
    isTerminal: status !== null && isTerminal(status),
    isActive: status !== null && !isTerminal(status),
  }
}

export const noRun: RunState = {
  ...describeRun(null),
  logs: [],
  streams: {},
  isLoading: false,
  loadError: null,
}
