import { pause, type Env } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { DurablyEvent } from '../core/event.ts'
import type { Run } from '../core/run.ts'
import type { Log } from '../core/step.ts'
import type { Client } from './client.ts'
import { foldRun } from './fold-run.ts'
import { createObserved, readUntil, type Observed } from './observed.ts'
import { isPassing } from './remote-error.ts'
import { describeRun, noRun, type RunState } from './run-state.ts'

/** A run as it is and becomes. */
export interface RunObserver extends Observed<RunState> {
  /** Something was done to it: it is read again. */
  refresh(): void
  /** Shows it so until the next refresh: what was asked for is expected to happen. */
  expect(change: Partial<Run>): void
}

export interface RunObserverOptions {
  readonly client: Client
  readonly runId: string
  /** How many lines of its log are kept. */
  readonly maxLogs: number
  readonly env: Pick<Env, 'after'>
  /** Nobody observes it any more. */
  readonly onIdle: () => void
}

export const loading: RunState = { ...noRun, isLoading: true }

const RETRY_MS = 1000

/** Shows a run at once as it is read, then lets its events make of it what becomes of it. */
export function createRunObserver(options: RunObserverOptions): RunObserver {
  const { client, runId, maxLogs, env, onIdle } = options
  let run: Run | null = null
  let logs: Log[] = []
  let signal: AbortSignal | null = null
  let isFollowing = false
  const observed = createObserved<RunState>({
    initial: loading,
    env,
    onIdle,
    follow(following) {
      signal = following
      void follow(following)
    },
  })

  function show(): void {
    observed.set({ ...describeRun(run), logs, isLoading: false, loadError: null })
  }

  /** The run as it is now. Throws when there is none. */
  async function read(following: AbortSignal): Promise<void> {
    const found = await client.getRun(runId)
    if (following.aborted) return
    run = found
    if (run === null) throw new NotFoundError(`Run not found: ${runId}`)
    show()
  }

  /** Until the run has ended. */
  async function follow(following: AbortSignal): Promise<void> {
    isFollowing = true
    while (!following.aborted) {
      const error = await followOnce(following)
      if (error === null || following.aborted) break
      if (!isPassing(error)) {
        observed.set({ ...describeRun(run), isLoading: false, loadError: error })
        break
      }
      await pause(env, RETRY_MS)
    }
    isFollowing = false
  }

  async function followOnce(following: AbortSignal): Promise<Error | null> {
    try {
      await read(following)
      if (following.aborted) return null
      logs = []
      await readUntil(client.subscribe(runId), following, onEvent)
      return null
    } catch (error) {
      return error as Error
    }
  }

  function onEvent(event: DurablyEvent): void {
    if (run !== null) run = foldRun(run, event)
    if (event.type === 'log:write') logs = [...logs, toLog(event)].slice(-maxLogs)
    show()
  }

  return {
    ...observed,
    refresh() {
      if (signal === null || signal.aborted) return
      // Its stream tells what becomes of it; what it is now is asked for once more.
      if (isFollowing) read(signal).catch(() => {})
      else void follow(signal)
    },
    expect(change) {
      if (run !== null) observed.set(describeRun({ ...run, ...change }))
    },
  }
}

function toLog({
  sequence,
  stepName,
  level,
  message,
  data,
  timestamp,
}: DurablyEvent<'log:write'>): Log {
  return { sequence, stepName, level, message, data, timestamp }
}
