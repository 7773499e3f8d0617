import { useRunActions } from '@coji/durably-react'
import { useState } from 'react'
import { plates, type Developing } from './darkroom.ts'

/** What can be done to a run as it is. */
export function RunButtons({ run }: { readonly run: Developing }) {
  const { cancel, retry, deleteRun, isPending } = useRunActions()
  const [error, setError] = useState<Error | null>(null)
  const canCancel = ['pending', 'running', 'waiting'].includes(run.status)
  const canRetry = run.status === 'failed' || run.status === 'cancelled'
  // The run last: if the tab is closed in between, it is still there to be deleted again.
  const remove = () => plates.forget(run.id, run.payload.picture).then(() => deleteRun(run.id))
  const act = (action: Promise<unknown>) => {
    setError(null)
    action.catch(setError)
  }
  return (
    <span className="buttons">
      {error !== null && <span className="error">{error.message}</span>}
      {canCancel && (
        <button type="button" disabled={isPending} onClick={() => act(cancel(run.id))}>
          Cancel
        </button>
      )}
      {canRetry && (
        <button type="button" disabled={isPending} onClick={() => act(retry(run.id))}>
          Retry
        </button>
      )}
      {!canCancel && (
        <button type="button" disabled={isPending} onClick={() => act(remove())}>
          Delete
        </button>
      )}
    </span>
  )
}
