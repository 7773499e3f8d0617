import type { Run } from '@coji/durably'
import type { RunState } from '@coji/durably/observers'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/**
 * A run, kept up to date, whichever process executes it; nothing while `runId` is null.
 *
 * @example
 * const { status, progress, error } = useJobRun({ runId })
 */
export function useJobRun<TRun extends Run = Run>({
  runId,
}: {
  readonly runId: string | null
}): RunState<TRun> {
  const observers = useObservers()
  const run = useMemo(() => observers.run(runId), [observers, runId])
  return useObserved(run) as RunState<TRun>
}
