import type { ActionsState, RunActions } from '@coji/durably/observers'
import { useMemo } from 'react'
import { useObservers } from './provider.ts'
import { useObserved } from './use-observed.ts'

/**
 * What can be done to runs. Where a run is shown, cancelling and retrying it show at once, and are taken back there if
 * they are refused; lists show them once they are answered. `error` says why an action was refused, and the promise rejects.
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
