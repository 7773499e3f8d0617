import type { Log } from '@coji/durably'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/**
 * The log of a run, oldest first: its last `maxLogs` lines (default 1,000).
 *
 * @example
 * const { logs } = useJobLogs({ runId, maxLogs: 200 })
 */
export function useJobLogs({
  runId,
  maxLogs = 1000,
}: {
  readonly runId: string | null
  readonly maxLogs?: number
}): { readonly logs: readonly Log[]; readonly isLoading: boolean } {
  const observers = useObservers()
  const run = useMemo(() => observers.run(runId, { maxLogs }), [observers, runId, maxLogs])
  const { logs, isLoading } = useObserved(run)
  const last = useMemo(() => logs.slice(Math.max(0, logs.length - maxLogs)), [logs, maxLogs])
  return { logs: last, isLoading }
}
