import { pause, type Env } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { DurablyEvent } from '../core/event.ts'
import type { Run } from '../core/run.ts'
import { isTick } from '../core/tick.ts'
import { isTerminal } from '../core/transitions.ts'
import { createSoon } from '../events/soon.ts'
import type { Client } from './client.ts'
import { foldLogs, type Logs } from './fold-logs.ts'
import { foldRun } from './fold-run.ts'
import { foldStreams, type Streams } from './fold-streams.ts'
import { mayPass, tellable } from './may-pass.ts'
import { createObserved, readUntil, type Observed, type Observing } from './observed.ts'
import type { RunHints } from './run-hints.ts'
import { describeRun, noRun, type RunState } from './run-state.ts'

/** A run as it is and becomes. */
export interface RunObserver extends Observed<RunState> {
  /** Something is done to it: shows meanwhile what that will make of it, if that is known, and reads it again after. */
  expect(change: Expected | null, done: Promise<unknown>): void
  /** Keeps at least so many lines of its log from now on. */
  keepLogs(count: number): void
}

/** What a run will be. */
export type Expected = Partial<Run> & Pick<Run, 'status'>

export interface RunObserverOptions {
  readonly client: Client
  readonly runId: string
  readonly hints: RunHints
  readonly env: Pick<Env, 'after' | 'now'>
  /** Nobody observes it any more. */
  readonly onIdle: () => void
}

export const loading: RunState = { ...noRun, isLoading: true }

const DEFAULT_MAX_LOGS = 1000
/** After so long what may pass is asked again. */
export const RETRY_MS = 1000
const LOOK_GAP_MS = 500
/** Of hints that any run may have changed, few are of one that has ended. */
const RARE_LOOK_GAP_MS = 5000

interface State extends RunObserverOptions {
  readonly observed: Observing<RunState>
  /** Always the same: of many events that come together it is asked once. */
  readonly describe: () => RunState
  run: Run | null
  /** Laid over the run until it has happened, or cannot any more; at the latest until this read of the run is answered. */
  expected: { readonly change: Expected | null; until: number } | null
  /** When the run that was read had changed last. */
  readAt: string
  /** The latest time that its stream told. */
  heardAt: string
  /** Each read has a number: an answer is dropped if a later read was answered before. */
  reads: number
  answered: number
  /** Events that made of the run what it is. */
  folded: number
  /** Facts were left out; it is going to be read again, unless they turn out to be its past. */
  nextLook: (() => void) | null
  maxLogs: number
  logs: Logs
  streams: Streams
  signal: AbortSignal | null
  isFollowing: boolean
  /** The attempt whose end its stream has told. */
  toldAttempt: number | null
  /** Listens no more for what becomes of it after its end. */
  unlisten: (() => void) | null
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
      signal.addEventListener('abort', () => unlisten(state))
      void follow(state, signal)
    },
  })
  const state: State = {
    ...options,
    observed,
    describe: () => stateOf(state),
    run: null,
    expected: null,
    readAt: '',
    heardAt: '',
    reads: 0,
    answered: 0,
    folded: 0,
    nextLook: null,
    maxLogs: DEFAULT_MAX_LOGS,
    logs: foldLogs(() => state.maxLogs),
    streams: foldStreams(),
    signal: null,
    isFollowing: false,
    toldAttempt: null,
    unlisten: null,
  }
  return {
    ...observed,
    expect: (change, done) => void expect(state, change, done),
    keepLogs(count) {
      if (!(count > state.maxLogs)) return
      state.maxLogs = count
      void readEarlier(state)
    },
  }
}

function refresh(state: State): void {
  const { signal, isFollowing } = state
  if (signal === null || signal.aborted) return
  // Its stream tells what becomes of it; what it is now is asked for once more.
  if (isFollowing) read(state, signal).catch(() => {})
  else void follow(state, signal)
}

async function expect(
  state: State,
  change: Expected | null,
  done: Promise<unknown>,
): Promise<void> {
  const expected = { change, until: Number.POSITIVE_INFINITY }
  const apply = (next: State['expected']): void => {
    state.expected = next
    become(state, state.run)
    if (state.run !== null) show(state)
  }
  if (change !== null) apply(expected)
  try {
    await done
    // What is told from now on may still be from before it.
    expected.until = state.reads + 1
  } catch {
    if (state.expected === expected) apply(null)
  }
  refresh(state)
}

/** What is known of the run now. What was expected is over where the run has ended, or is to do again, as it would have. */
function become(state: State, run: Run | null): void {
  state.run = run
  const change = state.expected?.change ?? null
  if (run === null || change === null) return
  if (isTerminal(run.status) === isTerminal(change.status)) state.expected = null
}

function show({ observed, describe }: State): void {
  observed.set(describe)
}

function stateOf(state: State): RunState {
  const { run, expected, logs, streams } = state
  const shown = { logs: logs.lines(), streams: streams.chunks() }
  const described = describeRun(
    run === null || expected === null ? run : { ...run, ...expected.change },
  )
  return { ...described, ...shown, isLoading: false, loadError: null }
}

/** The run as it is now. Throws when there is none. */
async function read(state: State, signal: AbortSignal): Promise<void> {
  const { client, runId, folded } = state
  const number = ++state.reads
  const run = await client.getRun(runId)
  if (signal.aborted || number < state.answered) return
  state.answered = number
  // What its stream told since it was asked for is newer, or will be.
  if (folded === state.folded) {
    if (number >= (state.expected?.until ?? 0)) state.expected = null
    become(state, run)
    state.readAt = run?.updatedAt ?? ''
  }
  if (run === null) throw new NotFoundError(`Run not found: ${runId}`)
  show(state)
}

/** Until the run has ended. A server that is away, or a database that is busy, is asked again. */
async function follow(state: State, signal: AbortSignal): Promise<void> {
  const { observed, env } = state
  state.isFollowing = true
  while (!signal.aborted) {
    const error = await followOnce(state, signal)
    if (signal.aborted) break
    if (error === null && isOver(state)) {
      listen(state)
      break
    }
    if (error !== null && !mayPass(error)) {
      observed.set({ ...describeRun(state.run), isLoading: false, loadError: error })
      unlisten(state)
      break
    }
    if (state.run === null) observed.set({ loadError: tellable(error) })
    await pause(env, RETRY_MS)
  }
  state.isFollowing = false
}

/** Whether all is told, and nothing came after it. */
function isOver({ run, toldAttempt }: State): boolean {
  return run === null || (isTerminal(run.status) && run.attempt === toldAttempt)
}

async function followOnce(state: State, signal: AbortSignal): Promise<Error | null> {
  const { client, runId } = state
  try {
    await read(state, signal)
    if (signal.aborted || isOver(state)) return null
    unlisten(state)
    state.logs = foldLogs(() => state.maxLogs)
    state.streams = foldStreams()
    state.heardAt = ''
    await readUntil(client.subscribe(runId), signal, (event) => onEvent(state, event))
    state.toldAttempt = state.run?.attempt ?? null
    return null
  } catch (error) {
    return error as Error
  }
}

function onEvent(state: State, event: DurablyEvent): void {
  const { run, env } = state
  if (!isTick(event) && event.timestamp > state.heardAt) state.heardAt = event.timestamp
  // Up to where it was read, its stream says nothing new of it; from there on all counts, whatever the clock was set to.
  if (run !== null && (isTick(event) || state.heardAt >= state.readAt)) {
    become(state, foldRun(run, event))
    state.folded++
  } else {
    state.nextLook ??= env.after(LOOK_GAP_MS, () => lookAgain(state))
  }
  state.logs.add(event)
  state.streams.add(event)
  show(state)
}

/** Facts that seem to be from before the run was read may be from a machine whose clock is behind. */
function lookAgain(state: State): void {
  state.nextLook = null
  if (state.heardAt < state.readAt) refresh(state)
}

/** Reads lines that were left out and are wanted after all, the last ones first. A server that is away is asked again. */
async function readEarlier(state: State): Promise<void> {
  const { client, runId, env, logs, signal } = state
  let before = logs.lines()[0]?.sequence ?? 0
  // So many positions have no more lines, but they may have fewer.
  let span = logs.wanted()
  while (logs.wanted() > 0 && before > 1) {
    const after = Math.max(0, before - 1 - span)
    try {
      logs.prepend(await client.getLogs(runId, { after, limit: before - 1 - after }))
      before = after + 1
      span *= 2
    } catch (error) {
      if (!mayPass(error as Error)) return
      await pause(env, RETRY_MS)
    }
    if (signal?.aborted !== false) return
    show(state)
  }
}

/** What has ended may be retried, or deleted, by anyone: lists hear of that. */
function listen(state: State): void {
  if (state.run === null || state.unlisten !== null) return
  const { hints, runId, env } = state
  const look = (): void => refresh(state)
  const own = createSoon(env, LOOK_GAP_MS, look)
  // Where there are many of them, they come all the time, for each run that is shown.
  const any = createSoon(env, RARE_LOOK_GAP_MS, look)
  const stop = hints.listen({
    filter: {},
    onChange(change) {
      if (change.runId === runId) own.ask()
      if (change.runId === null) any.ask()
    },
    onError: () => {},
  })
  state.unlisten = () => {
    stop()
    own.cancel()
    any.cancel()
  }
}

function unlisten(state: State): void {
  state.unlisten?.()
  state.unlisten = null
}
