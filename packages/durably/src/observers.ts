import type { Client } from './client/client.ts'
import { createObservers, type Observers } from './client/observers.ts'
import { createClock, createVisibility } from './env.ts'

export type { Client } from './client/client.ts'
export type { JobObserver, JobQuery, JobState } from './client/job-observer.ts'
export type { Observed } from './client/observed.ts'
export type { ActionsObserver, ActionsState, RunActions } from './client/actions-observer.ts'
export type { Observers } from './client/observers.ts'
export type { RunState } from './client/run-state.ts'
export type { RunsObserver, RunsQuery, RunsState } from './client/runs-observer.ts'

const known = new WeakMap<object, Observers>()

/**
 * Returns states of runs to show in a page, kept up to date, for any framework: read them, and listen to changes. The
 * same client has the same observers; what several places show is read once.
 *
 * @example
 * const run = observersOf(durably).run(runId)
 * const stop = run.subscribe(() => console.log(run.get().status, run.get().progress))
 */
export function observersOf(client: Pick<Client, 'getRun'>): Observers {
  const observers =
    known.get(client) ?? createObservers(client as Client, createClock(), createVisibility())
  known.set(client, observers)
  return observers
}
