import type { RunStatus } from '@coji/durably'

const words: Readonly<Record<RunStatus, string>> = {
  pending: 'Queued',
  running: 'Running',
  waiting: 'Waiting',
  completed: 'Done',
  failed: 'Failed',
  cancelled: 'Cancelled',
}

export function StatusBadge({ status }: { readonly status: RunStatus }) {
  return <span className={`badge ${status}`}>{words[status]}</span>
}
