import type { Handles, JobHandle } from '../core/handle.ts'
import type { Instance, Jobs } from '../core/instance.ts'
import type { JobDefinition } from '../core/job.ts'
import type { Labels } from '../core/run.ts'

/** What a job's handle does from afar: triggers and reads. */
export interface ClientHandle<J extends JobDefinition = JobDefinition, TLabels = Labels>
  extends Pick<JobHandle<J, TLabels>, 'trigger' | 'triggerAndWait' | 'getRun' | 'getRuns'> {
  /** What the job is known by where it is executed: its name, or from afar the key at which it is registered. */
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
 * What an app does with jobs and runs wherever it is: in the process that has the database, where the instance
 * itself is one, or in a page, over HTTP.
 */
export interface Client<TJobs extends Jobs | null = null, TLabels = Labels>
  extends Pick<Instance<TJobs, TLabels>, FromAfar> {
  /** The handles of the jobs, under the keys at which they are registered. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as on the instance: no type knows who registers later
  readonly jobs: TJobs extends Jobs ? ClientHandles<TJobs, TLabels> : any
  getJob(name: string): ClientHandle<JobDefinition, TLabels> | undefined
}
