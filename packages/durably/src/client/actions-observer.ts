import type { Env } from '../core/env.ts'
import type { Client } from './client.ts'
import { createObserved, type Observed } from './observed.ts'

/** What a page can do to runs. */
export type RunActions = Pick<
  Client,
  'retry' | 'cancel' | 'deleteRun' | 'retrigger' | 'signal' | 'completeToken'
>

/** What a page shows of what it does. */
export interface ActionsState {
  /** Something is under way. */
  readonly isPending: boolean
  /** Why the last one was refused. */
  readonly error: Error | null
}

/**
 * What a page does to runs, and how it went. An action that is refused rejects; whoever does not wait for it finds
 * the error in the state.
 */
export interface ActionsObserver extends Observed<ActionsState>, RunActions {}

export function createActionsObserver(
  actions: RunActions,
  env: Pick<Env, 'after'>,
): ActionsObserver {
  const observed = createObserved<ActionsState>({
    initial: { isPending: false, error: null },
    env,
    follow: () => {},
  })
  let pending = 0

  async function perform<T>(action: () => Promise<T>): Promise<T> {
    pending++
    observed.set({ isPending: true, error: null })
    try {
      return await action()
    } catch (error) {
      observed.set({ error: error as Error })
      throw error
    } finally {
      observed.set({ isPending: --pending > 0 })
    }
  }

  function watched<A extends unknown[], T>(
    action: (...args: A) => Promise<T>,
  ): (...args: A) => Promise<T> {
    return (...args) => {
      const performed = perform(() => action(...args))
      performed.catch(() => {})
      return performed
    }
  }

  return {
    ...observed,
    retry: watched(actions.retry),
    cancel: watched(actions.cancel),
    deleteRun: watched(actions.deleteRun),
    retrigger: watched(actions.retrigger),
    signal: watched(actions.signal),
    completeToken: (token, data) => watched(actions.completeToken)(token, data),
  }
}
