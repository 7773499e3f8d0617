import { useJobLogs, useRuns } from '@coji/durably-react'
import { useState } from 'react'
import type { Developing } from './darkroom.ts'
import { Pages } from './pages.tsx'
import { RunButtons } from './run-buttons.tsx'
import { StatusBadge } from './status-badge.tsx'

/** All runs, newest first, with what they logged. */
export function History() {
  const list = useRuns<Developing>({ jobName: 'develop', pageSize: 6 })
  const { runs, isLoading } = list
  return (
    <section aria-label="History">
      <h2>History</h2>
      {runs.length === 0 ? (
        <p className="empty">
          {isLoading ? 'Loading…' : 'Nothing yet. What you start is listed here.'}
        </p>
      ) : (
        <ul className="runs">
          {runs.map((run) => (
            <Entry key={run.id} run={run} />
          ))}
        </ul>
      )}
      <Pages list={list} />
    </section>
  )
}

function Entry({ run }: { readonly run: Developing }) {
  const [isOpen, setOpen] = useState(false)
  const { name, effect } = run.payload
  return (
    <li>
      <div className="row">
        <button
          type="button"
          className="unfold"
          aria-expanded={isOpen}
          aria-label="Log"
          onClick={() => setOpen(!isOpen)}
        >
          {isOpen ? '▾' : '▸'}
        </button>
        <span className="name">{name}</span>
        <span className="muted">{effect}</span>
        <StatusBadge status={run.status} />
        <time className="muted">{new Date(run.createdAt).toLocaleTimeString()}</time>
        <RunButtons run={run} />
      </div>
      {run.error !== null && <p className="error">{run.error}</p>}
      {isOpen && <RunLog runId={run.id} />}
    </li>
  )
}

function RunLog({ runId }: { readonly runId: string }) {
  const { logs, isLoading } = useJobLogs({ runId })
  if (logs.length === 0) return <p className="muted">{isLoading ? 'Loading…' : 'No lines yet.'}</p>
  return (
    <ol className="log">
      {logs.map(({ sequence, timestamp, message }) => (
        <li key={sequence}>
          <time>{new Date(timestamp).toLocaleTimeString()}</time> {message}
        </li>
      ))}
    </ol>
  )
}
