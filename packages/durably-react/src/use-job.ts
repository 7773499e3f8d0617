import type { JobDefinition, Labels, RunOf } from '@coji/durably'
import type { ClientHandle } from '@coji/durably/client'
import type { JobQuery, JobState } from '@coji/durably/observers'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/** The name of a job whose types are not known here. */
export type JobName = string

/** The current run of a job, and how to make one. */
export interface UseJobResult<J extends JobDefinition, TLabels extends Labels = Labels>
  extends JobState<RunOf<J, TLabels>> {
  /**
   * Triggers the job; its run becomes the current one, and is pending from the call on: `isActive` turns a button off
   * before the server has answered. Rejects with what the server refuses, which is `triggerError` as well: nobody has to
   * wait for it.
   */
  readonly trigger: ClientHandle<J, TLabels>['trigger']
  /** The same, and waits for the result; who calls it has to wait as well. */
  readonly triggerAndWait: ClientHandle<J, TLabels>['triggerAndWait']
  /** There is no current run any more. */
  reset(): void
}

/**
 * A job and its current run: the one that is triggered here, one to begin with, the newest that has not ended, or
 * whichever anyone triggers next.
 *
 * @example
 * const { trigger, isActive, progress, output } = useJob(importCsv)
 * return <button disabled={isActive} onClick={() => void trigger({ url })}>Import</button>
 */
export function useJob<J extends JobDefinition = JobDefinition>(
  job: J | JobName,
  { initialRunId, autoResume, followLatest }: JobQuery = {},
): UseJobResult<J> {
  const observers = useObservers()
  const name = typeof job === 'string' ? job : job.name
  const observer = useMemo(
    () => observers.job(name, { initialRunId, autoResume, followLatest }),
    [observers, name, initialRunId, autoResume, followLatest],
  )
  const { trigger, triggerAndWait, reset } = observer
  const state = useObserved(observer)
  return { ...state, trigger, triggerAndWait, reset } as unknown as UseJobResult<J>
}
