import type { Run } from '@coji/durably'
import type { RunsObserver, RunsQuery, RunsState } from '@coji/durably/observers'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/**
 * A list of runs, newest first, page by page, kept up to date.
 *
 * @example
 * const { runs, hasMore, nextPage } = useRuns({ jobName: 'import-csv', status: ['running', 'failed'] })
 */
export function useRuns<TRun extends Run = Run>(
  query: RunsQuery = {},
): RunsState<TRun> & Pick<RunsObserver, 'nextPage' | 'prevPage' | 'refresh'> {
  const observers = useObservers()
  // Written anew in each render, it is the same query as long as it says the same.
  const text = JSON.stringify(query, nameMissing)
  // The text is only compared: a label without a value is not in it, and is to be refused.
  const list = useMemo(() => observers.runs(query), [observers, text])
  const { nextPage, prevPage, refresh } = list
  return { ...(useObserved(list) as RunsState<TRun>), nextPage, prevPage, refresh }
}

/** What has no value says something else than what is not there. */
function nameMissing(_name: string, value: unknown): unknown {
  return value === undefined ? null : value
}
