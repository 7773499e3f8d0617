import type { Env } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { TriggerOptions } from '../core/handle.ts'
import type { Run } from '../core/run.ts'
import { activeStatuses } from '../core/transitions.ts'
import type { Client, ClientHandle } from './client.ts'
import { createObserved, readUntil, type Observed } from './observed.ts'
import type { RunObserver } from './run-observer.ts'
import { createSoon } from './soon.ts'
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
  readonly observeRun: (runId: string) => RunObserver
  readonly env: Pick<Env, 'after' | 'now'>
}

/** Of hints that some run may have changed, few are of a new run. */
const LOOK_GAP_MS = 500

const nothing: JobState = { ...noRun, currentRunId: null }

export function createJobObserver(options: JobObserverOptions): JobObserver {
  const {
    client,
    jobName,
    observeRun,
    env,
    initialRunId,
    autoResume = true,
    followLatest = true,
  } = options
  let currentRunId = initialRunId ?? null
  let letGo = (): void => {}
  let signal: AbortSignal | null = null

  const observed = createObserved<JobState>({
    initial: { ...nothing, currentRunId, isLoading: currentRunId !== null },
    env,
    follow(following) {
      signal = following
      following.addEventListener('abort', () => letGo())
      if (currentRunId !== null) showRun(currentRunId)
      else if (autoResume) void resume(following)
      if (followLatest) void listen(following)
    },
  })

  function showRun(runId: string): void {
    letGo()
    currentRunId = runId
    const run = observeRun(runId)
    const show = (): void => observed.set({ ...run.get(), currentRunId: runId })
    letGo = run.subscribe(show)
    show()
  }

  /** Makes a run the current one, if anyone is looking; else it will be once someone does. */
  function turnTo(runId: string): void {
    if (runId === currentRunId) return
    if (signal?.aborted === false) showRun(runId)
    else {
      currentRunId = runId
      observed.set({ ...nothing, currentRunId, isLoading: true })
    }
  }

  async function resume(following: AbortSignal): Promise<void> {
    const latest = await readLatest()
    if (following.aborted || latest === null || currentRunId !== null) return
    showRun(latest.id)
  }

  async function readLatest(): Promise<Run | null> {
    try {
      const filter = { jobName, status: activeStatuses, limit: 1 }
      return (await client.getRuns(filter))[0] ?? null
    } catch {
      // Who could not look has nothing to resume; what is triggered is followed all the same.
      return null
    }
  }

  async function listen(following: AbortSignal): Promise<void> {
    const look = async (): Promise<void> => turnToNewer((await readLatest())?.id)
    const soon = createSoon(env, LOOK_GAP_MS, () => void look())
    following.addEventListener('abort', soon.cancel)
    await readUntil(client.subscribeRuns({ jobName }), following, (change) => {
      if (change.type === 'run:trigger') turnToNewer(change.runId)
      if (change.type === 'run:changed') soon.ask()
    }).catch(() => {})
  }

  /** Ids sort by time. */
  function turnToNewer(runId: string | undefined): void {
    if (runId === undefined || signal?.aborted !== false) return
    if (currentRunId === null || runId > currentRunId) turnTo(runId)
  }

  function handle(): ClientHandle {
    const found = client.getJob(jobName)
    if (found === undefined) throw new NotFoundError(`Job not found: ${jobName}`)
    return found
  }

  const trigger = async (input: unknown, triggerOptions: TriggerOptions = {}) => {
    const run = await handle().trigger(input, triggerOptions)
    turnTo(run.id)
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
      letGo()
      letGo = () => {}
      currentRunId = null
      observed.set(nothing)
    },
  }
}
