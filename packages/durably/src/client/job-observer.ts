import { parseDuration } from '../core/parse-duration.ts'
import { pause, type Env } from '../core/env.ts'
import { NotFoundError, TimeoutError } from '../core/error.ts'
import type { Run } from '../core/run.ts'
import { activeStatuses, isTerminal, type RunStatus } from '../core/transitions.ts'
import type { Client, ClientHandle } from './client.ts'
import { mayPass, tellable } from './may-pass.ts'
import { always, createObserved, type Observed, type Observing } from './observed.ts'
import type { RunHints } from './run-hints.ts'
import { RETRY_MS } from './run-observer.ts'
import { createSoon } from '../events/soon.ts'
import { createWatched } from './watched.ts'
import { describeRun, noRun, type RunState } from './run-state.ts'

/** How a job's current run is found. */
export interface JobQuery {
  /** The run to begin with. */
  readonly initialRunId?: string | undefined
  /** Without `initialRunId`: begin with the newest run that has not ended. Default true. */
  readonly autoResume?: boolean | undefined
  /** Switch to whichever run of the job is triggered next, by anyone. Default true. */
  readonly followLatest?: boolean | undefined
}

/** What a page shows of a job: its current run. */
export interface JobState<TRun extends Run = Run> extends RunState<TRun> {
  readonly currentRunId: string | null
  /** Why the last trigger was refused, until the next one or a reset. */
  readonly triggerError: Error | null
}

/** A job's current run, kept up to date. */
export interface JobObserver extends Observed<JobState> {
  /**
   * Triggers the job, and makes its run the current one. It is shown as pending from the call on, without `run` and
   * `currentRunId` until they are known, unless the run before it has not ended. A trigger that is refused rejects, and
   * what was shown is shown again; if you do not await it, the error is in the state.
   */
  trigger: ClientHandle['trigger']
  /** Like `trigger`, then waits for the result. */
  triggerAndWait: ClientHandle['triggerAndWait']
  /** Forgets the current run. */
  reset(): void
}

export interface JobObserverOptions extends JobQuery {
  readonly client: Client
  readonly jobName: string
  readonly hints: RunHints
  readonly observeRun: (runId: string) => Observed<RunState>
  readonly env: Pick<Env, 'after' | 'now'>
}

/** Of hints that some run may have changed, few are of a new run. */
const LOOK_GAP_MS = 500

/** A run that was just triggered, before anything is known of it. */
const coming = { ...noRun, ...describeRun(null, 'pending'), currentRunId: null }

interface State extends JobObserverOptions {
  readonly observed: Observing<JobState>
  currentRunId: string | null
  /** Shows the current run; where there is none, why. */
  current: Observed<RunState>
  /** It was just triggered: until it is read, it is pending. */
  isNew: boolean
  /** The newest run that is known of, ended or not; null before one was looked for. What is triggered next is newer. */
  newest: string | null
  /** For as long as this signal says the newest is looked for; null where it is not. */
  looking: AbortSignal | null
  /** What was asked for here has numbers: what was asked for last decides, whatever is answered last. */
  asked: number
  /** The number of what decided. */
  decided: number
  /** A trigger is not answered, and what it makes is not the current run yet. */
  isPending: boolean
  /** Why one was refused. */
  error: Error | null
  signal: AbortSignal | null
  /** Listens to the current run no more. */
  letGo: () => void
}

export function createJobObserver(options: JobObserverOptions): JobObserver {
  const {
    client,
    env,
    observeRun,
    initialRunId = null,
    autoResume = true,
    followLatest = true,
  } = options
  const first =
    initialRunId === null ? always({ ...noRun, isLoading: autoResume }) : observeRun(initialRunId)
  const observed = createObserved<JobState>({
    initial: { ...first.initial, currentRunId: initialRunId, triggerError: null },
    env,
    follow(signal) {
      state.signal = signal
      signal.addEventListener('abort', () => state.letGo())
      state.isNew = false
      attend(state, state.current)
      if (followLatest || autoResume) void begin(state, signal)
      if (followLatest) listen(state, signal)
    },
  })
  const state: State = {
    ...options,
    observed,
    currentRunId: initialRunId,
    current: first,
    isNew: false,
    newest: null,
    looking: null,
    asked: 0,
    decided: 0,
    isPending: false,
    error: null,
    signal: null,
    letGo: () => {},
  }
  const watched = createWatched((change) => show(Object.assign(state, change)))
  const trigger: ClientHandle['trigger'] = watched((...args) => ask(state, ...args))
  return {
    ...observed,
    trigger,
    async triggerAndWait(input, { timeout, ...triggerOptions } = {}) {
      // Before there is a run.
      const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, 'timeout')
      const { id, disposition } = await trigger(input, triggerOptions)
      try {
        const { output } = await client.waitForRun(id, { timeout: timeoutMs })
        return { id, output, disposition }
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error
        throw new TimeoutError(`triggerAndWait timeout after ${timeoutMs}ms`)
      }
    },
    reset() {
      state.decided = ++state.asked
      state.currentRunId = null
      state.isPending = false
      state.error = null
      attend(state, always(noRun))
    },
  }
}

function handleOf({ client, jobName }: State): ClientHandle {
  const handle = client.getJob(jobName)
  if (handle === undefined) throw new NotFoundError(`Job not found: ${jobName}`)
  return handle
}

async function ask(
  state: State,
  ...args: Parameters<ClientHandle['trigger']>
): ReturnType<ClientHandle['trigger']> {
  const number = ++state.asked
  const run = await handleOf(state).trigger(...args)
  know(state, run.id)
  if (number > state.decided) {
    state.decided = number
    turnTo(state, run.id)
  }
  return run
}

function show(state: State): void {
  const { observed, current, isNew, currentRunId, isPending, error } = state
  const read = current.get()
  const run = isNew && read.isLoading ? coming : read
  const shown = isPending && !run.isActive ? coming : { ...run, currentRunId }
  observed.set({ ...shown, triggerError: error })
}

function attend(state: State, current: Observed<RunState>): void {
  state.letGo()
  state.current = current
  state.letGo = state.signal?.aborted === false ? current.subscribe(() => show(state)) : () => {}
  show(state)
}

/** Makes a run the current one, if anyone is looking; else it will be once someone does. */
function turnTo(state: State, runId: string, isNew = true): void {
  if (runId === state.currentRunId) return
  state.currentRunId = runId
  state.isNew = isNew
  attend(state, state.observeRun(runId))
}

/** Learns which run is the newest, and resumes one that has not ended, if nothing was asked for here. */
async function begin(state: State, signal: AbortSignal): Promise<void> {
  if (state.looking === signal) return
  state.looking = signal
  let isLoading = true
  while (isLoading) {
    const error = await resume(state, signal)
    isLoading = mayPass(error)
    // What is triggered is followed all the same.
    if (mayResume(state)) attend(state, always({ ...noRun, isLoading, loadError: tellable(error) }))
    if (isLoading) await pause(state.env, RETRY_MS)
    if (signal.aborted) return
  }
  state.looking = null
}

/** Why it could not be looked for; null if it could. */
async function resume(state: State, signal: AbortSignal): Promise<Error | null> {
  try {
    const newest = await readNewest(state)
    know(state, newest?.id ?? '')
    if (!mayResume(state)) return null
    const isActive = newest !== null && !isTerminal(newest.status)
    const resumed = isActive ? newest : await readNewest(state, activeStatuses)
    if (resumed !== null && mayResume(state) && !signal.aborted) {
      turnTo(state, resumed.id, false)
    }
    return null
  } catch (error) {
    return error as Error
  }
}

function mayResume({ autoResume = true, currentRunId, decided }: State): boolean {
  return autoResume && currentRunId === null && decided === 0
}

async function readNewest(
  { client, jobName }: State,
  status?: readonly RunStatus[],
): Promise<Run | null> {
  return (await client.getRuns({ jobName, status, limit: 1 }))[0] ?? null
}

/** Goes on to whichever run is triggered next. */
function listen(state: State, signal: AbortSignal): void {
  const { hints, jobName, env } = state
  const look = async (): Promise<void> => {
    if (state.newest === null) return begin(state, signal)
    const run = await readNewest(state).catch(() => null)
    if (run !== null) turnToNewer(state, run.id)
  }
  const soon = createSoon(env, LOOK_GAP_MS, () => void look())
  signal.addEventListener('abort', soon.cancel)
  const stop = hints.listen({
    filter: { jobName },
    onChange(change) {
      if (change.type === 'run:trigger') turnToNewer(state, change.runId)
      if (change.type === 'run:changed') soon.ask()
    },
    // What is triggered here is followed all the same.
    onError: () => {},
  })
  signal.addEventListener('abort', stop)
}

function turnToNewer(state: State, runId: string): void {
  const { signal, newest } = state
  if (signal?.aborted !== false || (newest !== null && runId <= newest)) return
  know(state, runId)
  // Most likely it is what was asked for here, and told before that was answered.
  state.isPending = false
  turnTo(state, runId)
}

/** Ids sort by time. */
function know(state: State, runId: string): void {
  if (state.newest === null || runId > state.newest) state.newest = runId
}
