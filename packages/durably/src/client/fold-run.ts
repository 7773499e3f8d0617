import type { DurablyEvent } from '../core/event.ts'
import type { Run } from '../core/run.ts'

/** What a retry makes of a run. */
export const retried = {
  status: 'pending',
  output: null,
  error: null,
  errorDetail: null,
  completedAt: null,
} as const

/** The run as it is after an event; null when it was deleted. */
export function foldRun(run: Run, event: DurablyEvent): Run | null {
  const at = event.timestamp
  switch (event.type) {
    case 'run:start':
      return {
        ...run,
        status: 'running',
        attempt: event.attempt,
        startedAt: run.startedAt ?? at,
        waitingFor: null,
        updatedAt: at,
      }
    case 'run:wait':
      return { ...run, status: 'waiting', waitingFor: event.waitingFor, updatedAt: at }
    case 'run:wake':
    case 'run:release':
      return { ...run, status: 'pending', waitingFor: null, updatedAt: at }
    case 'run:complete':
      return { ...run, status: 'completed', output: event.output, completedAt: at, updatedAt: at }
    case 'run:fail': {
      const { error, errorDetail } = event
      return { ...run, status: 'failed', error, errorDetail, completedAt: at, updatedAt: at }
    }
    case 'run:cancel':
      return { ...run, status: 'cancelled', waitingFor: null, completedAt: at, updatedAt: at }
    case 'run:retry':
      return { ...run, ...retried, attempt: event.attempt, updatedAt: at }
    case 'run:progress':
      return { ...run, progress: event.progress }
    case 'run:delete':
      return null
    default:
      return run
  }
}
