import type { Env } from '../core/env.ts'
import type { Client } from './client.ts'
import { retried } from './fold-run.ts'
import { createObserved, type Observed } from './observed.ts'
import type { Expected } from './run-observer.ts'
import { createWatched, type Asking } from './watched.ts'

/** What a page can do to runs. */
export type RunActions = Pick<
  Client,
  'retry' | 'cancel' | 'deleteRun' | 'retrigger' | 'signal' | 'completeToken'
>

/** The state of a page's actions. */
export type ActionsState = Asking

/**
 * Actions on runs, and their state. An action that is refused rejects; if you do not await it, the error is in the
 * state.
 */
export interface ActionsObserver extends Observed<ActionsState>, RunActions {}

export interface ActionsObserverOptions {
  readonly client: RunActions
  /** Shows meanwhile, where the run is shown, what it will be. */
  readonly act: <T>(runId: string, done: Promise<T>, change?: Expected) => Promise<T>
  readonly env: Pick<Env, 'after'>
}

export function createActionsObserver({
  client,
  act,
  env,
}: ActionsObserverOptions): ActionsObserver {
  const observed = createObserved<ActionsState>({
    initial: { isPending: false, error: null },
    env,
    follow: () => {},
  })
  const watched = createWatched(observed.set)
  return {
    ...observed,
    cancel: watched((runId) => act(runId, client.cancel(runId), { status: 'cancelled' })),
    retry: watched((runId) => act(runId, client.retry(runId), retried)),
    deleteRun: watched((runId) => act(runId, client.deleteRun(runId))),
    retrigger: watched((runId) => act(runId, client.retrigger(runId))),
    signal: watched((runId, ...rest) => act(runId, client.signal(runId, ...rest))),
    completeToken: watched(client.completeToken),
  }
}
