import type { Env } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { TriggerOptions } from '../core/handle.ts'
import type { Run } from '../core/run.ts'
import { activeStatuses } from '../core/transitions.ts'
import type { Client, ClientHandle } from './client.ts'
import { createObserved, type Observed, type Observing } from './observed.ts'
import type { RunHints } from './run-hints.ts'
import type { RunObserver } from './run-observer.ts'
import { createSoon } from '../events/soon.ts'
import { noRun, type RunState } from './run-state.ts'

/** How a job's current run is found. */
export interface JobQuery {
  /** The run to begin with. */
  readonly initialRunId?: string | undefined
  /** Without an initial one: begin with the newest run that has not ended. Default true. */
  readonly autoResume?: boolean | undefined
  /** Go on to whichever run of the job is triggered next, by anyone. Default true. */
  readonly followLatest?: boolean | undefined
}

/** What a page shows of a job: its current run. */
export interface JobState<TRun extends Run = Run> extends RunState<TRun> {
  readonly currentRunId: string | null
}

/** A job's current run as it is and becomes. */
export interface JobObserver extends Observed<JobState> {
  /** Triggers the job, and makes the run the current one. */
  trigger: ClientHandle['trigger']
  /** The same, and waits for its result. */
  triggerAndWait: ClientHandle['triggerAndWait']
  /** There is no current run any more. */
  reset(): void
}

export interface JobObserverOptions extends JobQuery {
  readonly client: Client
  readonly jobName: string
  readonly hints: RunHints
  readonly observeRun: (runId: string) => RunObserver
  readonly env: Pick<Env, 'after' | 'now'>
}

/** Of hints that some run may have changed, few are of a new run. */
const LOOK_GAP_MS = 500

const nothing: JobState = { ...noRun, currentRunId: null }

interface State extends JobObserverOptions {
  readonly observed: Observing<JobState>
  currentRunId: string | null
  signal: AbortSignal | null
  /** Listens to the current run no more. */
  letGo: () => void
}

export function createJobObserver(options: JobObserverOptions): JobObserver {
  const { client, env, initialRunId = null, autoResume = true, followLatest = true } = options
  const observed = createObserved<JobState>({
    initial: { ...nothing, currentRunId: initialRunId, isLoading: initialRunId !== null },
    env,
    follow(signal) {
      state.signal = signal
      signal.addEventListener('abort', () => state.letGo())
      if (state.currentRunId !== null) showRun(state, state.currentRunId)
      else if (autoResume) void resume(state, signal)
      if (followLatest) listen(state, signal)
    },
  })
  const state: State = {
    ...options,
    observed,
    currentRunId: initialRunId,
    signal: null,
    letGo: () => {},
  }
  const trigger = async (input: unknown, triggerOptions: TriggerOptions = {}) => {
    const run = await handleOf(state).trigger(input, triggerOptions)
    turnTo(state, run.id)
    return run
  }
  return {
    ...observed,
    trigger,
    async triggerAndWait(input, { timeout, ...triggerOptions } = {}) {
      const { id, disposition } = await trigger(input, triggerOptions)
      const { output } = await client.waitForRun(id, { timeout })
      return { id, output, disposition }
    },
    reset() {
      state.letGo()
      state.letGo = () => {}
      state.currentRunId = null
      observed.set(nothing)
    },
  }
}

function handleOf({ client, jobName }: State): ClientHandle {
  const handle = client.getJob(jobName)
  if (handle === undefined) throw new NotFoundError(`Job not found: ${jobName}`)
  return handle
}

function showRun(state: State, runId: string): void {
  const { observeRun, observed } = state
  state.letGo()
  state.currentRunId = runId
  const run = observeRun(runId)
  const show = (): void => observed.set({ ...run.get(), currentRunId: runId })
  state.letGo = run.subscribe(show)
  show()
}

/** Makes a run the current one, if anyone is looking; else it will be once someone does. */
function turnTo(state: State, runId: string): void {
  const { currentRunId, signal, observed } = state
  if (runId === currentRunId) return
  if (signal?.aborted === false) {
    showRun(state, runId)
    return
  }
  state.currentRunId = runId
  observed.set({ ...nothing, currentRunId: runId, isLoading: true })
}

async function resume(state: State, signal: AbortSignal): Promise<void> {
  const latest = await readLatest(state)
  if (signal.aborted || latest === null || state.currentRunId !== null) return
  showRun(state, latest.id)
}

/** The newest run that has not ended. */
async function readLatest({ client, jobName }: State): Promise<Run | null> {
  try {
    const filter = { jobName, status: activeStatuses, limit: 1 }
    return (await client.getRuns(filter))[0] ?? null
  } catch {
    // Who could not look has nothing to resume; what is triggered is followed all the same.
    return null
  }
}

/** Goes on to whichever run is triggered next. */
function listen(state: State, signal: AbortSignal): void {
  const { hints, jobName, env } = state
  const look = async (): Promise<void> => turnToNewer(state, (await readLatest(state))?.id)
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

/** Ids sort by time. */
function turnToNewer(state: State, runId: string | undefined): void {
  const { signal, currentRunId } = state
  if (runId === undefined || signal?.aborted !== false) return
  if (currentRunId === null || runId > currentRunId) turnTo(state, runId)
}
