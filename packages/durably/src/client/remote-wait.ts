import type { Env } from '../core/env.ts'
import type { Run } from '../core/run.ts'
import type { WaitHow } from '../core/wait-how.ts'
import { waitForRun, watchChanges } from '../events/wait-for-run.ts'
import { readEvents } from './event-source.ts'
import type { Requests } from './http-requests.ts'
import { isPassing } from './remote-error.ts'

/** The completed run. */
export type Wait = (runId: string, how: WaitHow) => Promise<Run>

/** The net beneath the stream. */
const POLL_MS = 5000
/** Beyond any event: the stream tells none, and ends with the run. */
const LAST_POSITION = 999_999_999_999_999

export function waitFor({
  requests,
  env,
  getRun,
}: {
  readonly requests: Requests
  readonly env: Pick<Env, 'after' | 'random'>
  readonly getRun: (runId: string) => Promise<Run | null>
}): Wait {
  return async (runId, how) => {
    const changes = watchChanges<Run>({
      env,
      pollMs: POLL_MS,
      watch(onChange) {
        const stop = new AbortController()
        const mark = (): void => onChange(null)
        void watch(requests, env, runId, mark, stop.signal).then(mark, mark)
        return () => stop.abort()
      },
    })
    try {
      return await waitForRun({
        ...how,
        env,
        runId,
        changes,
        isNew: false,
        read: getRun,
        errorOf: (run) => run.errorDetail,
        onError(error) {
          if (!isPassing(error)) throw error
        },
      })
    } finally {
      changes.stop()
    }
  }
}

async function watch(
  requests: Requests,
  env: Pick<Env, 'after' | 'random'>,
  runId: string,
  onChange: () => void,
  signal: AbortSignal,
): Promise<void> {
  const connect = (hangUp: AbortSignal) =>
    requests.open('/subscribe', { query: { runId, after: LAST_POSITION }, signal: hangUp })
  for await (const event of readEvents({ env, connect }, signal)) {
    if (event === null) onChange()
  }
}
