import { useRuns } from './client.ts'
import { RunButtons } from './run-buttons.tsx'
import { StatusBadge } from './status-badge.tsx'

/** The runs of a job, newest first. */
export function History({
  jobName,
  current,
}: {
  readonly jobName: 'import-csv' | 'answer-question'
  readonly current: string | null
}) {
  const list = useRuns({ jobName, pageSize: 8 })
  const { runs, page, hasMore, isLoading, error, nextPage, prevPage } = list
  return (
    <section aria-label="History">
      <h2>History</h2>
      {error !== null && <p className="muted">Not up to date: {error.message}</p>}
      {runs.length === 0 ? (
        <p className="empty">
          {isLoading ? 'Loading…' : 'Nothing yet. What you start is listed here.'}
        </p>
      ) : (
        <ul className="runs">
          {runs.map((run) => {
            const { name, question } = run.payload as { name?: string; question?: string }
            return (
              <li key={run.id} className={run.id === current ? 'row current' : 'row'}>
                <span className="name">{name ?? question}</span>
                <StatusBadge status={run.status} />
                <span className="muted">{describe(run.progress, run.error)}</span>
                <time className="muted">{new Date(run.createdAt).toLocaleTimeString()}</time>
                <RunButtons run={run} />
              </li>
            )
          })}
        </ul>
      )}
      {(page > 0 || hasMore) && (
        <div className="pages">
          <button type="button" disabled={page === 0} onClick={prevPage}>
            Newer
          </button>
          <span className="muted">Page {page + 1}</span>
          <button type="button" disabled={!hasMore} onClick={nextPage}>
            Older
          </button>
        </div>
      )}
    </section>
  )
}

function describe(
  progress: { current: number; total?: number } | null,
  error: string | null,
): string {
  if (error !== null) return error
  return progress === null ? '' : `${progress.current} of ${progress.total ?? '?'}`
}
