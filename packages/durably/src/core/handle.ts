import type { Duration } from './duration.ts'
import type { JobDefinition, JobInput, JobOutput, JobPayload } from './job.ts'
import type { Labels, Run } from './run.ts'
import type { RunStatus } from './transitions.ts'

/** A run of this job, with the job's types. */
export type RunOf<J, TLabels = Labels> = Run<JobPayload<J>, JobOutput<J>, TLabels>

/** What a trigger did: created a run, or found an existing one that stands for it. */
export type Disposition = 'created' | 'idempotent' | 'coalesced'

/** How a run is executed, beyond its input. */
export interface TriggerOptions<TLabels = Labels> {
  /** Per job: a second trigger with the same key returns the first one's run, whatever its status. */
  readonly idempotencyKey?: string | undefined
  /** Runs with the same key, of any job, execute one at a time, in the order of due time. */
  readonly concurrencyKey?: string | undefined
  readonly labels?: TLabels | undefined
  /** -100 to 100, higher first. Default 0. */
  readonly priority?: number | undefined
  /** How long to wait before the run may start. Not together with `runAt`. */
  readonly delay?: Duration | undefined
  /** When the run may start. Not together with `delay`. */
  readonly runAt?: Date | undefined
  /** The run is cancelled unless it has started within this time from now. */
  readonly ttl?: Duration | undefined
  /** `'skip'`: returns the job's pending run with this `concurrencyKey` that never started, if there is one. */
  readonly coalesce?: 'skip' | undefined
}

/** How a run is executed, and how long to wait for its result. */
export interface TriggerAndWaitOptions<TLabels = Labels> extends TriggerOptions<TLabels> {
  /** How long to wait for the result. The run goes on after that. */
  readonly timeout?: Duration | undefined
}

/** Whether labels may be left out: not where there are some that each run must have. */
type MayLackLabels<TLabels> = Record<never, never> extends TLabels ? true : false

/** Options as the last argument of a call. They may be left out if no label is required. */
export type LastArgument<TOptions, TLabels> =
  MayLackLabels<TLabels> extends true
    ? [options?: TOptions]
    : [options: TOptions & { readonly labels: TLabels }]

/** An input of a batch, with options of its own. */
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
  /** At most this many runs. Default: all that match. */
  readonly limit?: number | undefined
  /** How many of the newest matching runs to skip. Default 0. */
  readonly offset?: number | undefined
  /** Only runs older than the one with this id, even if that one was deleted since. */
  readonly cursor?: string | undefined
}

/** Which runs' changes to receive. */
export interface RunChangeFilter<TLabels = Labels> {
  readonly jobName?: string | undefined
  /** All of these must match. */
  readonly labels?: Partial<TLabels> | undefined
}

/** Which runs to purge, cancel or retry. */
export interface BulkFilter<TLabels = Labels> {
  readonly jobName?: string | undefined
  readonly status?: RunStatus | readonly RunStatus[] | undefined
  readonly labels?: Partial<TLabels> | undefined
  /** Only runs that ended (for a purge) or were created before this time. */
  readonly before?: Date | undefined
}

/** A registered job: triggers it with labels as you give them, and reads its runs with labels as they are kept. */
export interface JobHandle<
  J extends JobDefinition = JobDefinition,
  TLabels = Labels,
  TGiven = TLabels,
> {
  readonly name: J['name']
  /**
   * Stores a run of the job; resolves once that is durable. If the schema refuses the input, throws `ValidationError`
   * (`Invalid input: …`) and stores nothing.
   */
  trigger(
    input: JobInput<J>,
    ...options: LastArgument<TriggerOptions<TGiven>, TGiven>
  ): Promise<RunOf<J, TLabels> & { readonly disposition: Disposition }>
  /** Like `trigger`, then waits for the result. Rejects as `waitForRun` does. */
  triggerAndWait(
    input: JobInput<J>,
    ...options: LastArgument<TriggerAndWaitOptions<TGiven>, TGiven>
  ): Promise<{
    readonly id: string
    readonly output: JobOutput<J>
    readonly disposition: Disposition
  }>
  /**
   * Stores any number of runs in one transaction, all or none. Results are in the order of the items. An item
   * `{ input, options? }` whose `input` the schema accepts carries options; any other item is the input itself.
   */
  batchTrigger(
    items: readonly InBatch<JobInput<J>, TGiven>[],
  ): Promise<(RunOf<J, TLabels> & { readonly disposition: Disposition })[]>
  /** Null if there is no such run, or it is another job's. */
  getRun(runId: string): Promise<RunOf<J, TLabels> | null>
  getRuns(filter?: Omit<RunFilter<TLabels>, 'jobName'>): Promise<RunOf<J, TLabels>[]>
}

/** The handles of job definitions, under the same keys. */
export type Handles<
  TJobs extends Record<string, JobDefinition>,
  TLabels = Labels,
  TGiven = TLabels,
> = {
  readonly [K in keyof TJobs]: JobHandle<TJobs[K], TLabels, TGiven>
}
