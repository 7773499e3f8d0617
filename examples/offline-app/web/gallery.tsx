import { useRuns } from '@coji/durably-react'
import { useCallback } from 'react'
import { plates, type Developing } from './darkroom.ts'
import { Pages } from './pages.tsx'
import { RunButtons } from './run-buttons.tsx'
import { useImage } from './use-image.ts'

/** The prints, newest first. */
export function Gallery() {
  const list = useRuns<Developing>({ jobName: 'develop', status: 'completed', pageSize: 9 })
  const { runs, isLoading, error } = list
  return (
    <section aria-label="Gallery">
      <h2>Gallery</h2>
      {error !== null && <p className="error">Not up to date: {error.message}</p>}
      {runs.length === 0 ? (
        <p className="empty">
          {isLoading ? 'Loading…' : 'No prints yet. Drop a picture, or try one of the samples.'}
        </p>
      ) : (
        <ul className="prints">
          {runs.map((run) => (
            <Print key={run.id} run={run} />
          ))}
        </ul>
      )}
      <Pages list={list} />
    </section>
  )
}

function Print({ run }: { readonly run: Developing }) {
  const { id, payload, output, attempt } = run
  const url = useImage(useCallback(() => plates.print(id), [id]))
  const title = `${payload.name}, ${payload.effect}`
  return (
    <li className="card">
      {typeof url === 'string' ? (
        <>
          <button type="button" className="print" popoverTarget={id} title="Look at it closely">
            <img src={url} alt={title} />
          </button>
          <figure id={id} popover="auto">
            <img src={url} alt="" width={output?.width} height={output?.height} />
            <figcaption className="row">
              {title}
              <a href={url} download={`${title}.png`}>
                Download
              </a>
            </figcaption>
          </figure>
        </>
      ) : (
        <p className="print muted">{url === null && 'The print is gone'}</p>
      )}
      <div className="row">
        <span className="name">{payload.name}</span>
        <RunButtons run={run} />
      </div>
      <p className="muted">
        {output?.bands === 1 ? '1 band' : `${output?.bands} bands`}, {seconds(run)}
        {attempt > 1 && `, taken up again ${attempt - 1}×`}
      </p>
    </li>
  )
}

function seconds({ startedAt, completedAt }: Developing): string {
  const took = Date.parse(completedAt ?? '') - Date.parse(startedAt ?? '')
  return `${(took / 1000).toFixed(1)} s`
}
