import { useRuns } from '@coji/durably-react'
import type { Developing } from './darkroom.ts'
import { Plate } from './plate.tsx'
import { RunButtons } from './run-buttons.tsx'
import { StatusBadge } from './status-badge.tsx'

const MOST_READ = 100
const MOST_SHOWN = 12

/** What is being developed, and what waits for it. */
export function Bench() {
  const { runs } = useRuns<Developing>({
    jobName: 'develop',
    status: ['pending', 'running', 'waiting'],
    pageSize: MOST_READ,
  })
  if (runs.length === 0) return null
  return (
    <section aria-label="On the bench">
      <h2>On the bench</h2>
      <ul className="plates">
        {runs
          .slice(-MOST_SHOWN)
          .toReversed()
          .map((run) => (
            <Card key={run.id} run={run} />
          ))}
      </ul>
      {runs.length > MOST_SHOWN && (
        <p className="muted">{runs.length - MOST_SHOWN} more wait in the queue.</p>
      )}
    </section>
  )
}

function Card({ run }: { readonly run: Developing }) {
  const { name, effect } = run.payload
  return (
    <li className="card">
      <Plate run={run} />
      <div className="row">
        <span className="name">{name}</span>
        <span className="muted">{effect}</span>
        <StatusBadge status={run.status} />
        <RunButtons run={run} />
      </div>
    </li>
  )
}
