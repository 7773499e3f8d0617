import type { Duration } from './duration.ts'
import type { DurablyEvent, EventHandler, EventType, RunChange } from './event.ts'
import type { BulkFilter, Handles, JobHandle, RunChangeFilter, RunFilter } from './handle.ts'
import type { JobDefinition, SignalInput } from './job.ts'
import type { Labels, Run } from './run.ts'
import type { Log, Step } from './step.ts'
import type { Token } from './wait.ts'

/** Definitions by the keys under which `durably.jobs` has their handles. */
export type Jobs = Readonly<Record<string, JobDefinition>>

// Whoever registers later has handles that no type can know here; `register` returns the exact ones.
// oxlint-disable-next-line typescript/no-explicit-any
type LooseHandles = any

/** A run with whatever labels. */
type AnyRun = Run<unknown, unknown, unknown>

/** The jobs, runs and events of one database, as one process sees them. */
export interface Instance<TJobs extends Jobs | null = null, TLabels = Labels, TGiven = TLabels> {
  /** `migrate()`, then `start()`. */
  init(): Promise<void>
  /** Creates or upgrades the tables. Several processes may do it at once. Throws if they are another product's. */
  migrate(): Promise<void>
  /** Claims and executes runs, from now on. During a drain it takes effect after it. */
  start(): void
  /**
   * Claims nothing more and resolves when the runs that execute here are over. With a `timeout`, runs that are
   * not over by then are handed back for another worker to continue.
   */
  stop(options?: { readonly timeout?: Duration | undefined }): Promise<void>
  /** Stops, and releases all that Durably opened. A database that the app opened stays open. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>

  /** Makes jobs known here and returns their handles. Throws when another job has a name already. */
  register<T extends Jobs>(jobs: T): Handles<T, TLabels, TGiven>
  /** The handles of all registered jobs. */
  readonly jobs: TJobs extends Jobs ? Handles<TJobs, TLabels, TGiven> : LooseHandles
  getJob(name: string): JobHandle<JobDefinition, TLabels, TGiven> | undefined
  /** No worker claims runs of this job until it is resumed. Runs that execute go on. */
  pauseJob(name: string): Promise<void>
  resumeJob(name: string): Promise<void>

  /** Calls `handler` with what this process committed, in the order of the commits. Returns how to stop it. */
  on<E extends EventType>(type: E, handler: EventHandler<E, TLabels>): () => void
  /** Calls `handler` with what listeners throw; they harm nothing else. */
  onError(handler: (error: unknown) => void): () => void
  /**
   * All facts of a run after a position (default: from the beginning), then what follows, in order and without
   * gaps, from whichever process executes it. Ends with the run. Errors with `NotFoundError`.
   */
  subscribe(
    runId: string,
    options?: { readonly after?: number | undefined },
  ): ReadableStream<DurablyEvent<EventType, TLabels>>
  /**
   * For lists of runs: what this process does to runs that match, from now on, and that others may have changed
   * one. It may skip what is read too slowly, and says then that anything may have changed: read the list again.
   */
  subscribeRuns(filter?: RunChangeFilter<TLabels>): ReadableStream<RunChange<TLabels>>
  /**
   * The completed run, from whichever process. Rejects with `RunFailedError`, `CancelledError`, `NotFoundError`,
   * and `TimeoutError`, after which the run goes on.
   */
  waitForRun<T extends AnyRun = Run<unknown, unknown, TLabels>>(
    runId: string,
    options?: {
      readonly timeout?: Duration | undefined
      readonly signal?: AbortSignal | undefined
    },
  ): Promise<T>

  getRun<T extends AnyRun = Run<unknown, unknown, TLabels>>(runId: string): Promise<T | null>
  /** Newest first. */
  getRuns<T extends AnyRun = Run<unknown, unknown, TLabels>>(
    filter?: RunFilter<TLabels>,
  ): Promise<T[]>
  /** The steps that ended or wait, in the order in which they were first called; none of a run that nobody knows. */
  getSteps(runId: string): Promise<Step[]>
  /** Lines after a position, oldest first; none of a run that nobody knows. */
  getLogs(
    runId: string,
    page?: { readonly after?: number | undefined; readonly limit?: number | undefined },
  ): Promise<Log[]>

  /** Ends a run that has not ended, whoever executes it. Throws `ConflictError` if it has. */
  cancel(runId: string): Promise<void>
  /** Failed or cancelled: to do again, the same run. Its completed steps are kept. Else `ConflictError`. */
  retry(runId: string): Promise<void>
  /** Removes a run that ended, with its steps and logs. Else `ConflictError`. */
  deleteRun(runId: string): Promise<void>
  /** A new run with the same stored payload, labels and concurrency key. */
  retrigger(runId: string): Promise<Run<unknown, unknown, TLabels>>
  /**
   * Sends a run a signal: kept until the run waits for one of this name, first in first out. Resolves once that is
   * durable. A second one with the same `id` (per name) is the same signal. Throws `NotFoundError`, `ConflictError`
   * if the run has ended, and `ValidationError` if the data is not what the job's `signals` want. Where the types
   * know the jobs, the data of a signal that one of them declares is typed.
   *
   * @example
   * await durably.signal(run.id, 'approval', { ok: true }, { id: request.id })
   */
  signal<TName extends string>(
    runId: string,
    name: TName,
    data?: SignalInput<TJobs, TName>,
    options?: { readonly id?: string | undefined },
  ): Promise<void>
  /**
   * Completes a wait for a token that the run made. Throws `NotFoundError` for a token that nobody made, and
   * `ConflictError` for one that was completed before, has expired, or whose run has ended.
   */
  completeToken<T>(token: Token<T>, data?: T): Promise<void>
  /**
   * Ends a sleep, or the delay before a step's next attempt, now. For a run that does not wait yet it is kept, and
   * ends the wait of that name when it begins. Throws `NotFoundError`, and `ConflictError` if the run waits, but for
   * nothing of that name, or has ended.
   *
   * @example
   * await durably.wake(run.id, 'a week')
   */
  wake(runId: string, waitName: string): Promise<void>
  /** Cancels all that match and have not ended. Returns how many. */
  cancelRuns(filter: BulkFilter<TLabels>): Promise<number>
  /** Retries all that match and failed or were cancelled. Returns how many. */
  retryRuns(filter: BulkFilter<TLabels>): Promise<number>
  /** Deletes all that match and ended, in small batches. Returns how many. */
  purgeRuns(filter: BulkFilter<TLabels>): Promise<number>

  /**
   * For serverless: claims and executes until nothing is due, `maxRuns` were claimed, or `maxTime` is over; what
   * is not over then is handed back. A run counts each time, in `maxRuns` when it is claimed, in `executed` when it
   * stops: also one that waits and goes on, or is handed back.
   */
  processUntilIdle(options?: {
    readonly maxRuns?: number | undefined
    readonly maxTime?: Duration | undefined
  }): Promise<{ readonly executed: number }>
}
