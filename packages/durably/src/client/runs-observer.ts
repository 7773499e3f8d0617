import type { Env } from '../core/env.ts'
import type { RunFilter } from '../core/handle.ts'
import type { Run } from '../core/run.ts'
import type { Client } from './client.ts'
import { createObserved, type Observed } from './observed.ts'
import type { RunHints } from './run-hints.ts'
import { createSoon } from '../events/soon.ts'

/** Which runs to list, and how. */
export interface RunsQuery<TLabels = Run['labels']>
  extends Pick<RunFilter<TLabels>, 'jobName' | 'status' | 'labels'> {
  /** Default 20. */
  readonly pageSize?: number | undefined
  /** Whether the list changes as runs do. Default true. */
  readonly realtime?: boolean | undefined
}

/** What a page shows of a list of runs. */
export interface RunsState<TRun extends Run = Run> {
  /** Newest first. */
  readonly runs: readonly TRun[]
  /** From 0. */
  readonly page: number
  readonly hasMore: boolean
  readonly isLoading: boolean
  /** Why they could not be read; what was read before still stands. */
  readonly error: Error | null
}

/** A list of runs as it is and becomes. */
export interface RunsObserver<TRun extends Run = Run> extends Observed<RunsState<TRun>> {
  nextPage(): void
  prevPage(): void
  /** Reads the page again. */
  refresh(): void
}

/** Hints come thick when much happens; a list that is read more often is not read more easily. */
const REREAD_GAP_MS = 200
/** The net beneath the hints. */
const REREAD_MS = 5000
const DEFAULT_PAGE_SIZE = 20

interface State {
  /** Where each page begins that was seen: after the run with this id. */
  readonly cursors: (string | undefined)[]
  signal: AbortSignal | null
  /** Each read has a number: an answer that was overtaken is dropped. */
  reads: number
  cancelTimer: () => void
}

export interface RunsObserverOptions {
  readonly client: Client
  readonly query: RunsQuery
  readonly hints: RunHints
  readonly env: Pick<Env, 'after' | 'now'>
  /** The lists that someone looks at. */
  readonly shown: Set<RunsObserver>
}

export function createRunsObserver(options: RunsObserverOptions): RunsObserver {
  const { client, query, hints, env, shown } = options
  const { pageSize = DEFAULT_PAGE_SIZE, realtime = true, ...filter } = query
  const state: State = {
    cursors: [undefined],
    signal: null,
    reads: 0,
    cancelTimer: () => {},
  }
  const soon = createSoon(env, REREAD_GAP_MS, () => void read())
  const observed = createObserved<RunsState>({
    initial: { runs: [], page: 0, hasMore: false, isLoading: true, error: null },
    env,
    follow(signal) {
      state.signal = signal
      shown.add(observer)
      signal.addEventListener('abort', () => {
        state.cancelTimer()
        soon.cancel()
        shown.delete(observer)
      })
      void read()
      if (!realtime) return
      // The reads say it as well, and go on without hints.
      const onError = (error: Error): void => observed.set({ error })
      const stop = hints.listen({ filter, onChange: soon.ask, onError })
      signal.addEventListener('abort', stop)
    },
  })

  async function read(): Promise<void> {
    const { signal, cursors } = state
    if (signal === null || signal.aborted) return
    state.cancelTimer()
    const number = ++state.reads
    const page = cursors.length - 1
    try {
      const found = await client.getRuns({ ...filter, cursor: cursors[page], limit: pageSize + 1 })
      if (signal.aborted || number !== state.reads) return
      const runs = found.slice(0, pageSize)
      observed.set({ runs, page, hasMore: found.length > pageSize, isLoading: false, error: null })
    } catch (error) {
      if (signal.aborted || number !== state.reads) return
      observed.set({ isLoading: false, error: error as Error })
    }
    if (realtime) state.cancelTimer = env.after(REREAD_MS, () => void read())
  }

  function turnTo(change: (cursors: State['cursors']) => void): void {
    change(state.cursors)
    observed.set({ isLoading: true })
    void read()
  }

  const observer: RunsObserver = {
    ...observed,
    nextPage() {
      const { runs, hasMore, isLoading } = observed.get()
      if (hasMore && !isLoading) turnTo((cursors) => cursors.push(runs.at(-1)?.id))
    },
    prevPage() {
      if (state.cursors.length > 1) turnTo((cursors) => cursors.pop())
    },
    refresh: () => void read(),
  }
  return observer
}
