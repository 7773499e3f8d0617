import type { Duration } from './duration.ts'
import type { DurablyEvent, EventHandler, EventType, RunChange } from './event.ts'
import type { BulkFilter, Handles, JobHandle, RunChangeFilter, RunFilter } from './handle.ts'
import type { JobDefinition, SignalInput } from './job.ts'
import type { Labels, Run } from './run.ts'
import type { Log, Step } from './step.ts'
import type { Token } from './wait.ts'

/** Job definitions, by the keys under which `durably.jobs` has their handles. */
export type Jobs = Readonly<Record<string, JobDefinition>>

// Whoever registers later has handles that no type can know here; `register` returns the exact ones.
// oxlint-disable-next-line typescript/no-explicit-any
type LooseHandles = any

/** A run with any labels. */
type AnyRun = Run<unknown, unknown, unknown>

/** The jobs, runs and events of one database, as one process sees them. */
export interface Instance<TJobs extends Jobs | null = null, TLabels = Labels, TGiven = TLabels> {
  /** `migrate()`, then `start()`. */
  init(): Promise<void>
  /** Creates or upgrades the tables. Several processes may do so at once. Throws if another product owns them. */
  migrate(): Promise<void>
  /** Claims and executes runs from now on. During a drain, it takes effect after the drain. */
  start(): void
  /**
   * Claims no more runs, and resolves when the runs that execute here are over. With a `timeout`, runs that are not
   * over by then are handed back for another worker to continue.
   */
  stop(options?: { readonly timeout?: Duration | undefined }): Promise<void>
  /** Stops, and releases everything that Durably opened. A database that you opened stays open. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>

  /** Registers jobs and returns their handles. Throws `ValidationError` if another job has a name already. */
  register<T extends Jobs>(jobs: T): Handles<T, TLabels, TGiven>
  /** The handles of all registered jobs. */
  readonly jobs: TJobs extends Jobs ? Handles<TJobs, TLabels, TGiven> : LooseHandles
  getJob(name: string): JobHandle<JobDefinition, TLabels, TGiven> | undefined
  /** No worker claims runs of this job until it is resumed. Runs that are executing go on. */
  pauseJob(name: string): Promise<void>
  resumeJob(name: string): Promise<void>

  /** Calls `handler` with what this process committed, in the order of the commits. Returns how to stop it. */
  on<E extends EventType>(type: E, handler: EventHandler<E, TLabels>): () => void
  /** Calls `handler` with the errors that listeners throw; they affect nothing else. */
  onError(handler: (error: unknown) => void): () => void
  /**
   * Follows a run, whichever process executes it: all its facts after a position (default: from the beginning), then
   * new events, in order and without gaps. Closes when the run has ended. Errors with `NotFoundError` if there is none.
   */
  subscribe(
    runId: string,
    options?: { readonly after?: number | undefined },
  ): ReadableStream<DurablyEvent<EventType, TLabels>>
  /**
   * For lists of runs: from now on, events of matching runs that this process changes, and hints that others may have
   * changed one. If you read too slowly, one hint that any run may have changed replaces events: read the list again.
   */
  subscribeRuns(filter?: RunChangeFilter<TLabels>): ReadableStream<RunChange<TLabels>>
  /**
   * Waits until the run completes, in whichever process, and returns it. Rejects with `RunFailedError`,
   * `CancelledError`, `NotFoundError`, or `TimeoutError`; after a timeout the run goes on.
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
  /** The steps that have ended or wait, in the order in which they were first called. Empty if there is no such run. */
  getSteps(runId: string): Promise<Step[]>
  /** Log lines after a position, oldest first. Empty if there is no such run. */
  getLogs(
    runId: string,
    page?: { readonly after?: number | undefined; readonly limit?: number | undefined },
  ): Promise<Log[]>

  /** Cancels a run that has not ended, whichever worker executes it. Throws `ConflictError` if it has ended. */
  cancel(runId: string): Promise<void>
  /** Retries a failed or cancelled run: the same run, with its completed steps. Otherwise throws `ConflictError`. */
  retry(runId: string): Promise<void>
  /** Deletes a run that has ended, with its steps and logs. Throws `ConflictError` if it has not ended. */
  deleteRun(runId: string): Promise<void>
  /** Creates a new run with the same stored payload, labels, priority and concurrency key. */
  retrigger(runId: string): Promise<Run<unknown, unknown, TLabels>>
  /**
   * Sends a signal to a run. It is kept until the run waits for a signal of this name, first in, first out. Resolves
   * once it is durable. A second signal with the same name and `id` counts as the same one. Throws `NotFoundError`,
   * `ConflictError` if the run has ended, and `ValidationError` if the job's `signals` refuse the data. If the instance
   * knows its jobs by type, the data of a signal that one of them declares is typed.
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
   * Completes a run's wait for a token. Throws `NotFoundError` for an unknown token, and `ConflictError` for one that
   * was completed before or has expired, or whose run has ended.
   */
  completeToken<T>(token: Token<T>, data?: T): Promise<void>
  /**
   * Ends a sleep, or the delay before a step's next attempt, now. If the run does not wait yet, the wake-up is kept,
   * and ends the wait of that name when it begins. Throws `NotFoundError`, and `ConflictError` if the run has ended, or
   * waits but for nothing of that name.
   *
   * @example
   * await durably.wake(run.id, 'a week')
   */
  wake(runId: string, waitName: string): Promise<void>
  /** Cancels all matching runs that have not ended. Returns how many. */
  cancelRuns(filter: BulkFilter<TLabels>): Promise<number>
  /** Retries all matching runs that failed or were cancelled. Returns how many. */
  retryRuns(filter: BulkFilter<TLabels>): Promise<number>
  /** Deletes all matching runs that have ended, in small batches. Returns how many. */
  purgeRuns(filter: BulkFilter<TLabels>): Promise<number>

  /**
   * For serverless: claims and executes runs until none is due, `maxRuns` were claimed, or `maxTime` is over; runs that
   * are not over then are handed back. A run counts each time: in `maxRuns` when it is claimed, and in `executed` when
   * it stops, even if it waits, goes on later, or is handed back.
   */
  processUntilIdle(options?: {
    readonly maxRuns?: number | undefined
    readonly maxTime?: Duration | undefined
  }): Promise<{ readonly executed: number }>
}
