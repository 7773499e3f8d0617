import type { Run } from '@coji/durably'
import { useRunActions } from './client.ts'

/** What can be done to a run as it is. */
export function RunButtons({ run }: { readonly run: Pick<Run, 'id' | 'status'> }) {
  const { cancel, retry, deleteRun, isPending, error } = useRunActions()
  const canCancel = ['pending', 'running', 'waiting'].includes(run.status)
  const canRetry = run.status === 'failed' || run.status === 'cancelled'
  return (
    <span className="buttons">
      {error !== null && <span className="error">{error.message}</span>}
      {canCancel && (
        <button type="button" disabled={isPending} onClick={() => void cancel(run.id)}>
          Cancel
        </button>
      )}
      {canRetry && (
        <button type="button" disabled={isPending} onClick={() => void retry(run.id)}>
          Retry
        </button>
      )}
      {!canCancel && (
        <button type="button" disabled={isPending} onClick={() => void deleteRun(run.id)}>
          Delete
        </button>
      )}
    </span>
  )
}
