import type { ActionsState, RunActions } from '@coji/durably/observers'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/**
 * What can be done to runs. It shows at once in the other hooks, and is taken back there if it is refused: `error`
 * says why, and the promise rejects.
 *
 * @example
 * const { cancel, retry, error } = useRunActions()
 * return <button onClick={() => cancel(run.id)}>Cancel</button>
 */
export function useRunActions(): ActionsState & RunActions {
  const observers = useObservers()
  const actions = useMemo(() => observers.actions(), [observers])
  const { retry, cancel, deleteRun, retrigger, signal, completeToken } = actions
  const state = useObserved(actions)
  return { ...state, retry, cancel, deleteRun, retrigger, signal, completeToken }
}
