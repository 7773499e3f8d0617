import type { JobDefinition, Labels, RunOf } from '@coji/durably'
import type { ClientHandle } from '@coji/durably/client'
import type { JobQuery, JobState } from '@coji/durably/observers'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/** The name of a job whose types are not known here. */
export type JobName = string

/** The current run of a job, and functions to trigger one. */
export interface UseJobResult<J extends JobDefinition, TLabels extends Labels = Labels>
  extends JobState<RunOf<J, TLabels>> {
  /**
   * Triggers the job. Its run becomes the current one, and is pending from the call on: `isActive` can disable a button
   * before the server has answered. If it is refused, it rejects, and the error is in `triggerError` too: you need not
   * catch it.
   */
  readonly trigger: ClientHandle<J, TLabels>['trigger']
  /** Like `trigger`, then waits for the result; you must catch its errors. */
  readonly triggerAndWait: ClientHandle<J, TLabels>['triggerAndWait']
  /** Forgets the current run. */
  reset(): void
}

/**
 * A job and its current run: the one that was triggered here, an initial one, the newest that has not ended, or
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
