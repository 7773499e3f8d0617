import { pause, type Env } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { DurablyEvent } from '../core/event.ts'
import type { Run } from '../core/run.ts'
import type { Log } from '../core/step.ts'
import type { Client } from './client.ts'
import { foldRun } from './fold-run.ts'
import { foldStreams, type Streams } from './fold-streams.ts'
import { createObserved, readUntil, type Observed, type Observing } from './observed.ts'
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

interface State extends RunObserverOptions {
  readonly observed: Observing<RunState>
  /** Always the same: of many events that come together it is asked once. */
  readonly describe: () => RunState
  run: Run | null
  logs: Log[]
  streams: Streams
  signal: AbortSignal | null
  isFollowing: boolean
}

/** Shows a run at once as it is read, then lets its events make of it what becomes of it. */
export function createRunObserver(options: RunObserverOptions): RunObserver {
  const { env, onIdle } = options
  const observed = createObserved<RunState>({
    initial: loading,
    env,
    onIdle,
    follow(signal) {
      state.signal = signal
      void follow(state, signal)
    },
  })
  const state: State = {
    ...options,
    observed,
    describe: () => stateOf(state),
    run: null,
    logs: [],
    streams: foldStreams(),
    signal: null,
    isFollowing: false,
  }
  return {
    ...observed,
    refresh() {
      const { signal, isFollowing } = state
      if (signal === null || signal.aborted) return
      // Its stream tells what becomes of it; what it is now is asked for once more.
      if (isFollowing) read(state, signal).catch(() => {})
      else void follow(state, signal)
    },
    expect(change) {
      if (state.run !== null) observed.set(describeRun({ ...state.run, ...change }))
    },
  }
}

function show({ observed, describe }: State): void {
  observed.set(describe)
}

function stateOf({ run, logs, streams }: State): RunState {
  const shown = { logs: [...logs], streams: streams.chunks() }
  return { ...describeRun(run), ...shown, isLoading: false, loadError: null }
}

/** The run as it is now. Throws when there is none. */
async function read(state: State, signal: AbortSignal): Promise<void> {
  const { client, runId } = state
  const run = await client.getRun(runId)
  if (signal.aborted) return
  state.run = run
  if (run === null) throw new NotFoundError(`Run not found: ${runId}`)
  show(state)
}

/** Until the run has ended. A server that is away is asked again. */
async function follow(state: State, signal: AbortSignal): Promise<void> {
  const { observed, env } = state
  state.isFollowing = true
  while (!signal.aborted) {
    const error = await followOnce(state, signal)
    if (error === null || signal.aborted) break
    if (!isPassing(error)) {
      observed.set({ ...describeRun(state.run), isLoading: false, loadError: error })
      break
    }
    await pause(env, RETRY_MS)
  }
  state.isFollowing = false
}

async function followOnce(state: State, signal: AbortSignal): Promise<Error | null> {
  const { client, runId } = state
  try {
    await read(state, signal)
    if (signal.aborted) return null
    state.logs = []
    state.streams = foldStreams()
    await readUntil(client.subscribe(runId), signal, (event) => onEvent(state, event))
    return null
  } catch (error) {
    return error as Error
  }
}

function onEvent(state: State, event: DurablyEvent): void {
  const { run, logs, maxLogs } = state
  if (run !== null) state.run = foldRun(run, event)
  if (event.type === 'log:write') {
    logs.push(toLog(event))
    if (logs.length > maxLogs) logs.shift()
  }
  state.streams.add(event)
  show(state)
}

function toLog(line: DurablyEvent<'log:write'>): Log {
  const { sequence, stepName, level, message, data, timestamp } = line
  return { sequence, stepName, level, message, data, timestamp }
}
