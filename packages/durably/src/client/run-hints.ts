import { pause, type Env } from '../core/env.ts'
import type { RunChange } from '../core/event.ts'
import type { RunChangeFilter } from '../core/handle.ts'
import { matches } from '../events/run-changes.ts'
import type { Client } from './client.ts'
import { mayPass } from './may-pass.ts'
import { readUntil } from './observed.ts'

/** Whether someone sees the page. */
export interface Visibility {
  isVisible(): boolean
  onChange(listener: () => void): () => void
}

/** Someone who wants to know when to read runs again. */
interface HintListener {
  readonly filter: RunChangeFilter
  readonly onChange: (change: RunChange) => void
  /** There will be no hints: why. */
  readonly onError: (error: Error) => void
}

/**
 * What happens to runs, for all lists of a page over one stream: browsers open six connections to a server, for all
 * tabs together. A page that nobody sees holds none; it is told, once it is seen, that anything may have changed.
 */
export interface RunHints {
  listen(listener: HintListener): () => void
}

const anything: RunChange = { type: 'run:changed', runId: null }

/** After a stream that cannot pass by itself. */
const RETRY_MS = 5000

export function createRunHints(
  client: Pick<Client, 'subscribeRuns'>,
  env: Pick<Env, 'after'>,
  visibility: Visibility,
): RunHints {
  const listeners = new Set<HintListener>()
  let stop: AbortController | null = null
  let stopWatching = (): void => {}

  function tell(change: RunChange): void {
    for (const { filter, onChange } of listeners) {
      if (change.type === 'run:changed' || matches(change, filter)) onChange(change)
    }
  }

  /** Follows or lets go, as it is wanted now. */
  function adjust(): void {
    const isWanted = listeners.size > 0 && visibility.isVisible()
    if (isWanted === (stop !== null)) return
    stop?.abort()
    stop = isWanted ? new AbortController() : null
    if (stop !== null) void follow(stop.signal)
  }

  async function follow(signal: AbortSignal): Promise<void> {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        const changes = client.subscribeRuns()
        // Nobody listened since the last one ended.
        if (!isFirst) tell(anything)
        await readUntil(changes, signal, tell)
      } catch (error) {
        if (signal.aborted) return
        if (!mayPass(error as Error)) for (const { onError } of listeners) onError(error as Error)
      }
      if (!signal.aborted) await pause(env, RETRY_MS)
    }
  }

  function onVisibility(): void {
    adjust()
    if (visibility.isVisible()) tell(anything)
  }

  return {
    listen(listener) {
      if (listeners.size === 0) stopWatching = visibility.onChange(onVisibility)
      listeners.add(listener)
      adjust()
      return () => {
        if (!listeners.delete(listener) || listeners.size > 0) return
        stopWatching()
        adjust()
      }
    },
  }
}
