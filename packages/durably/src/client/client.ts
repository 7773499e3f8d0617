import type { Handles, JobHandle, TriggerAndWaitOptions, TriggerOptions } from '../core/handle.ts'
import type { Instance, Jobs } from '../core/instance.ts'
import type { JobDefinition, JobInput } from '../core/job.ts'
import type { Labels } from '../core/run.ts'

type SomeLabels<TLabels> = string extends keyof TLabels
  ? TLabels
  : { readonly [K in keyof TLabels]?: TLabels[K] | undefined }

/** A job's handle for a client: triggers the job and reads its runs. */
export interface ClientHandle<J extends JobDefinition = JobDefinition, TLabels = Labels>
  extends Pick<JobHandle<J, TLabels>, 'getRun' | 'getRuns'> {
  /**
   * As on the instance. Labels that the server adds itself, those of the scope, may be left out. If you may trigger the
   * run but not read it, the result has only `id` and `disposition`.
   */
  trigger(
    input: JobInput<J>,
    options?: TriggerOptions<SomeLabels<TLabels>>,
  ): ReturnType<JobHandle<J, TLabels>['trigger']>
  triggerAndWait(
    input: JobInput<J>,
    options?: TriggerAndWaitOptions<SomeLabels<TLabels>>,
  ): ReturnType<JobHandle<J, TLabels>['triggerAndWait']>
  /** The job's name on an instance; on a client over HTTP, the key or name that you asked for. */
  readonly name: string
}

type ClientHandles<TJobs extends Jobs, TLabels> = {
  readonly [K in keyof Handles<TJobs>]: ClientHandle<TJobs[K], TLabels>
}

type FromAfar =
  | 'getRun'
  | 'getRuns'
  | 'getSteps'
  | 'getLogs'
  | 'subscribe'
  | 'subscribeRuns'
  | 'waitForRun'
  | 'cancel'
  | 'retry'
  | 'deleteRun'
  | 'retrigger'
  | 'signal'
  | 'completeToken'

/**
 * What an app does with jobs and runs wherever it runs: in the process that has the database, where the instance itself
 * is a client, or in a page, over HTTP.
 */
export interface Client<TJobs extends Jobs | null = null, TLabels = Labels>
  extends Pick<Instance<TJobs, TLabels>, FromAfar> {
  /** The handles of the jobs, under the keys that they are registered with. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as on the instance: no type knows who registers later
  readonly jobs: TJobs extends Jobs ? ClientHandles<TJobs, TLabels> : any
  getJob(name: string): ClientHandle<JobDefinition, TLabels> | undefined
}
