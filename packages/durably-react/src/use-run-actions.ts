import type { ActionsState, RunActions } from '@coji/durably/observers'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/**
 * Actions on runs. Cancelling and retrying show at once wherever the run itself is shown, and are undone there if they
 * are refused; lists show them once the server has answered. An action that is refused rejects, and `error` says why.
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
