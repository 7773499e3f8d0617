import type { Env } from '../core/env.ts'
import { createActionsObserver, type ActionsObserver } from './actions-observer.ts'
import type { Client } from './client.ts'
import { createJobObserver, type JobObserver, type JobQuery } from './job-observer.ts'
import { always, type Observed } from './observed.ts'
import { noRun, type RunState } from './run-state.ts'
import { createRunObserver, loading, type Expected, type RunObserver } from './run-observer.ts'
import { createRunHints, type Visibility } from './run-hints.ts'
import { createRunsObserver, type RunsObserver, type RunsQuery } from './runs-observer.ts'

/** Everything that a page shows, over one client: what several places show is read once. */
export interface Observers {
  readonly client: Client
  /** If `runId` is null, there is nothing to show. */
  run(runId: string | null, options?: { readonly maxLogs?: number | undefined }): Observed<RunState>
  runs(query?: RunsQuery): RunsObserver
  job(jobName: string, query?: JobQuery): JobObserver
  /**
   * Cancelling and retrying show at once wherever the run itself is shown, and are undone there if they are refused.
   * Lists are read again once the server has answered.
   */
  actions(): ActionsObserver
}

export function createObservers(
  client: Client,
  env: Pick<Env, 'after' | 'now'>,
  visibility: Visibility,
): Observers {
  const hints = createRunHints(client, env, visibility)
  const followed = new Map<string, RunObserver>()
  const lists = new Set<RunsObserver>()

  /** Whoever shows a run shares what follows it. */
  function observeRun(runId: string, maxLogs = 0): Observed<RunState> {
    return {
      initial: loading,
      get: () => followed.get(runId)?.get() ?? loading,
      subscribe(listener) {
        const known = followed.get(runId)
        const onIdle = (): void => void followed.delete(runId)
        const observer = known ?? createRunObserver({ client, runId, hints, env, onIdle })
        followed.set(runId, observer)
        observer.keepLogs(maxLogs)
        return observer.subscribe(listener)
      },
    }
  }

  /** Shows meanwhile that it is done. */
  function act<T>(runId: string, done: Promise<T>, change: Expected | null = null): Promise<T> {
    followed.get(runId)?.expect(change, done)
    return done.finally(() => {
      for (const list of lists) list.refresh()
    })
  }

  return {
    client,
    run: (runId, { maxLogs } = {}) => (runId === null ? always(noRun) : observeRun(runId, maxLogs)),
    runs: (query = {}) => createRunsObserver({ client, query, hints, env, shown: lists }),
    job: (jobName, query = {}) =>
      createJobObserver({ ...query, client, jobName, hints, observeRun, env }),
    actions: () => createActionsObserver({ client, act, env }),
  }
}
