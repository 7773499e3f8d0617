import type { Duration } from './duration.ts'
import type { JobDefinition, JobInput, JobOutput, JobPayload } from './job.ts'
import type { Labels, Run } from './run.ts'
import type { RunStatus } from './transitions.ts'

/** The run of a job, with the job's types. */
export type RunOf<J, TLabels = Labels> = Run<JobPayload<J>, JobOutput<J>, TLabels>

/** What came of a trigger: a new run, or which existing one stands for it. */
export type Disposition = 'created' | 'idempotent' | 'coalesced'

/** How a run is to be executed, beyond its input. */
export interface TriggerOptions<TLabels = Labels> {
  /** Per job: a second trigger with the same key gives the first one's run, whatever its status. */
  readonly idempotencyKey?: string | undefined
  /** Runs with one key, of any job, execute one at a time, in order of due time. */
  readonly concurrencyKey?: string | undefined
  readonly labels?: TLabels | undefined
  /** -100 to 100, higher first. Default 0. */
  readonly priority?: number | undefined
  /** How long to wait before it may start. Not together with `runAt`. */
  readonly delay?: Duration | undefined
  /** When it may start. Not together with `delay`. */
  readonly runAt?: Date | undefined
  /** Cancelled unless started within this time from now. */
  readonly ttl?: Duration | undefined
  /** `'skip'`: return the job's pending run with this `concurrencyKey` that never started, if there is one. */
  readonly coalesce?: 'skip' | undefined
}

/** How a run is to be executed, and how long to wait for what comes of it. */
export interface TriggerAndWaitOptions<TLabels = Labels> extends TriggerOptions<TLabels> {
  /** How long to wait for the result. The run goes on after it. */
  readonly timeout?: Duration | undefined
}

/** Whether labels may be left out: not where there are some that each run must have. */
type MayLackLabels<TLabels> = Record<never, never> extends TLabels ? true : false

/** Options as the last argument of a call, which may be left out if the labels may. */
export type LastArgument<TOptions, TLabels> =
  MayLackLabels<TLabels> extends true
    ? [options?: TOptions]
    : [options: TOptions & { readonly labels: TLabels }]

/** An input with options of its own, in a batch. */
export type BatchItem<TInput, TLabels = Labels> = {
  readonly input: TInput
} & (MayLackLabels<TLabels> extends true
  ? { readonly options?: TriggerOptions<TLabels> | undefined }
  : { readonly options: TriggerOptions<TLabels> & { readonly labels: TLabels } })

type InBatch<TInput, TLabels> =
  | BatchItem<TInput, TLabels>
  | (MayLackLabels<TLabels> extends true ? TInput : never)

/** Which runs to read. */
export interface RunFilter<TLabels = Labels> {
  readonly jobName?: string | undefined
  readonly status?: RunStatus | readonly RunStatus[] | undefined
  /** All of these must match. */
  readonly labels?: Partial<TLabels> | undefined
  /** At most so many. Default: all, however many there are. */
  readonly limit?: number | undefined
  /** Without the newest so many of those that match. Default 0. */
  readonly offset?: number | undefined
  /** Only runs older than the one with this id, which may have been deleted since. */
  readonly cursor?: string | undefined
}

/** Which runs' changes to hear of. */
export interface RunChangeFilter<TLabels = Labels> {
  readonly jobName?: string | undefined
  /** All of these must match. */
  readonly labels?: Partial<TLabels> | undefined
}

/** Runs to purge, cancel or retry. */
export interface BulkFilter<TLabels = Labels> {
  readonly jobName?: string | undefined
  readonly status?: RunStatus | readonly RunStatus[] | undefined
  readonly labels?: Partial<TLabels> | undefined
  /** Only those that ended (for a purge) or were made before this time. */
  readonly before?: Date | undefined
}

/** A registered job: triggers it, with labels as they are given, and reads its runs, with labels as they are kept. */
export interface JobHandle<
  J extends JobDefinition = JobDefinition,
  TLabels = Labels,
  TGiven = TLabels,
> {
  readonly name: J['name']
  /**
   * Stores a run of the job; resolves once that is durable. Throws `ValidationError` (`Invalid input: …`) and
   * stores nothing when the input is not what the schema wants.
   */
  trigger(
    input: JobInput<J>,
    ...options: LastArgument<TriggerOptions<TGiven>, TGiven>
  ): Promise<RunOf<J, TLabels> & { readonly disposition: Disposition }>
  /** The same, and waits for the result. Rejects as `waitForRun` does. */
  triggerAndWait(
    input: JobInput<J>,
    ...options: LastArgument<TriggerAndWaitOptions<TGiven>, TGiven>
  ): Promise<{
    readonly id: string
    readonly output: JobOutput<J>
    readonly disposition: Disposition
  }>
  /**
   * Stores any number of runs in one transaction, all or none; the answers are in the order of the items.
   * An item `{ input, options? }` whose `input` the schema accepts carries options; any other is the input itself.
   */
  batchTrigger(
    items: readonly InBatch<JobInput<J>, TGiven>[],
  ): Promise<(RunOf<J, TLabels> & { readonly disposition: Disposition })[]>
  /** Null when there is no such run, or it is another job's. */
  getRun(runId: string): Promise<RunOf<J, TLabels> | null>
  getRuns(filter?: Omit<RunFilter<TLabels>, 'jobName'>): Promise<RunOf<J, TLabels>[]>
}

/** The handles of a record of definitions, under the same keys. */
export type Handles<
  TJobs extends Record<string, JobDefinition>,
  TLabels = Labels,
  TGiven = TLabels,
> = {
  readonly [K in keyof TJobs]: JobHandle<TJobs[K], TLabels, TGiven>
}
