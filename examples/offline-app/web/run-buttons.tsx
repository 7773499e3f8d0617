import { useRunActions } from '@coji/durably-react'
import { plates, type Developing } from './darkroom.ts'

/** What can be done to a run as it is. */
export function RunButtons({ run }: { readonly run: Developing }) {
  const { cancel, retry, deleteRun, isPending, error } = useRunActions()
  const canCancel = ['pending', 'running', 'waiting'].includes(run.status)
  const canRetry = run.status === 'failed' || run.status === 'cancelled'
  // The run last: if the tab is closed in between, it is still there to be deleted again.
  const remove = () => plates.forget(run.id, run.payload.picture).then(() => deleteRun(run.id))
  const shown = (action: Promise<unknown>): void => void action.catch(() => {})
  return (
    <span className="buttons">
      {error !== null && <span className="error">{error.message}</span>}
      {canCancel && (
        <button type="button" disabled={isPending} onClick={() => shown(cancel(run.id))}>
          Cancel
        </button>
      )}
      {canRetry && (
        <button type="button" disabled={isPending} onClick={() => shown(retry(run.id))}>
          Retry
        </button>
      )}
      {!canCancel && (
        <button type="button" disabled={isPending} onClick={() => shown(remove())}>
          Delete
        </button>
      )}
    </span>
  )
}
