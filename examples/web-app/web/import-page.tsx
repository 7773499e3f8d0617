import { useState, type DragEvent } from 'react'
import { useJob } from './client.ts'
import { History } from './history.tsx'
import { RunButtons } from './run-buttons.tsx'
import { brokenSample, sample } from './samples.ts'
import { StatusBadge } from './status-badge.tsx'

export function ImportPage() {
  const job = useJob('import-csv')
  const [error, setError] = useState<string | null>(null)
  const [isOver, setOver] = useState(false)

  const upload = async (name: string, text: string) => {
    setError(null)
    try {
      const response = await fetch('/api/upload', { method: 'POST', body: text })
      if (!response.ok) throw new Error(`The server answered ${response.status}`)
      const { file } = (await response.json()) as { file: string }
      await job.trigger({ file, name })
    } catch (thrown) {
      setError(`${name} could not be uploaded: ${(thrown as Error).message}`)
    }
  }
  const take = async (file: File | undefined) => {
    if (file !== undefined) await upload(file.name, await file.text())
  }
  const drop = (event: DragEvent) => {
    event.preventDefault()
    setOver(false)
    void take(event.dataTransfer.files[0])
  }

  return (
    <>
      <section>
        <h2>Import customers</h2>
        <label
          className={`drop ${isOver ? 'over' : ''}`}
          onDragOver={(event) => {
            event.preventDefault()
            setOver(true)
          }}
          onDragLeave={() => setOver(false)}
          onDrop={drop}
        >
          <input
            type="file"
            accept=".csv,text/csv"
            onChange={(event) => void take(event.target.files?.[0])}
          />
          <strong>Drop a CSV file here, or choose one</strong>
          <span>with the columns name and email</span>
        </label>
        <p className="samples">
          Or try{' '}
          <button
            type="button"
            className="link"
            onClick={() => void upload('customers.csv', sample())}
          >
            500 customers
          </button>{' '}
          or{' '}
          <button
            type="button"
            className="link"
            onClick={() => void upload('broken.csv', brokenSample())}
          >
            a file with a mistake in line 72
          </button>
          .
        </p>
        {error !== null && (
          <p className="error" role="alert">
            {error}
          </p>
        )}
      </section>
      {job.run !== null && <Current job={job} />}
      <History jobName="import-csv" current={job.currentRunId} />
    </>
  )
}

function Current({ job }: { readonly job: ReturnType<typeof useJob<'import-csv'>> }) {
  const { run, status, progress, error, logs, output } = job
  if (run === null || status === null) return null
  return (
    <section aria-label="Current import">
      <div className="row">
        <h2>{run.payload.name}</h2>
        <StatusBadge status={status} />
        <RunButtons run={run} />
      </div>
      <progress max={progress?.total ?? 1} value={progress?.current ?? 0} />
      <p className="muted">
        {output === null
          ? (progress?.message ?? 'Not started yet')
          : `${output.rows} rows imported`}
        {run.attempt > 1 && `, taken up again ${run.attempt - 1}×`}
      </p>
      {error !== null && <p className="error">{error}</p>}
      {logs.length > 0 && (
        <ol className="log">
          {logs.toReversed().map(({ sequence, timestamp, message }) => (
            <li key={sequence}>
              <time>{new Date(timestamp).toLocaleTimeString()}</time> {message}
            </li>
          ))}
        </ol>
      )}
    </section>
  )
}
