import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

const nothing: readonly never[] = []

/**
 * What a step of a run streams under a name, as it comes, without what failed attempts wrote.
 *
 * @example
 * const { chunks } = useJobStream<string>({ runId, name: 'answer' })
 * return <p>{chunks.join('')}</p>
 */
export function useJobStream<T = unknown>({
  runId,
  name,
}: {
  readonly runId: string | null
  readonly name: string
}): { readonly chunks: readonly T[] } {
  const observers = useObservers()
  const run = useMemo(() => observers.run(runId), [observers, runId])
  const { streams } = useObserved(run)
  return { chunks: (streams[name] ?? nothing) as readonly T[] }
}
