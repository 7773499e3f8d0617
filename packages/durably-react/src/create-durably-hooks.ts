import type { Client } from '@coji/durably/client'
import type { Instance, JobDefinition, Jobs, Labels, Run } from '@coji/durably'
import type { JobQuery, RunsObserver, RunsQuery, RunsState } from '@coji/durably/observers'
import { useDurably } from './provider.ts'
import { useJob, type UseJobResult } from './use-job.ts'
import { useJobLogs } from './use-job-logs.ts'
import { useJobStream } from './use-job-stream.ts'
import { useJobRun } from './use-job-run.ts'
import { useRunActions } from './use-run-actions.ts'
import { useRuns } from './use-runs.ts'

interface HasJobs {
  readonly jobs: unknown
}

type TypesOf<T> =
  T extends Instance<infer TJobs, infer TLabels, never>
    ? { readonly jobs: TJobs; readonly labels: TLabels }
    : { readonly jobs: null; readonly labels: Labels }

type JobsOf<T> = TypesOf<T>['jobs']

type LabelsOf<T> = TypesOf<T>['labels'] extends infer L extends Labels ? L : Labels

type NamesOf<T> = JobsOf<T> extends infer J extends Jobs ? J[keyof J]['name'] : string

type JobOf<T, TName> =
  JobsOf<T> extends infer J extends Jobs
    ? Extract<J[keyof J], { readonly name: TName }>
    : JobDefinition

type RunsPages = Pick<RunsObserver, 'nextPage' | 'prevPage' | 'refresh'>

/** The hooks, typed by the jobs of an instance: they take the jobs' names. */
export interface DurablyHooks<T extends HasJobs> {
  useDurably(): T extends Instance<infer TJobs, infer TLabels, never>
    ? Client<TJobs, TLabels>
    : Client
  useJob<TName extends NamesOf<T>>(
    name: TName,
    query?: JobQuery,
  ): UseJobResult<JobOf<T, TName>, LabelsOf<T>>
  useJobRun: typeof useJobRun
  useJobLogs: typeof useJobLogs
  useJobStream: typeof useJobStream
  useRuns(
    query?: RunsQuery<LabelsOf<T>> & { readonly jobName?: NamesOf<T> | undefined },
  ): RunsState<Run<unknown, unknown, LabelsOf<T>>> & RunsPages
  useRunActions: typeof useRunActions
}

/**
 * Returns the hooks with the types of an instance's jobs, and none of their code.
 *
 * @example
 * import type { durably } from './server'
 *
 * export const { useJob, useRuns } = createDurablyHooks<typeof durably>()
 * const { trigger } = useJob('import-csv')
 */
export function createDurablyHooks<T extends HasJobs>(): DurablyHooks<T> {
  const hooks = { useDurably, useJob, useJobRun, useJobLogs, useJobStream, useRuns, useRunActions }
  return hooks as unknown as DurablyHooks<T>
}
