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

interface Place {
  /** Where each page begins up to this one: after the run with this id. */
  readonly cursors: readonly (string | undefined)[]
  /** Where the next one begins; undefined where there is none, or none is known yet. */
  readonly next: string | undefined
}

const firstPage: Place = { cursors: [undefined], next: undefined }

interface State {
  /** What is read, and what was read last. */
  place: Place
  shown: Place
  runs: readonly Run[]
  signal: AbortSignal | null
  /** Each read has a number: an answer that was overtaken is dropped. */
  reads: number
  cancelTimer: () => void
}

const nothingRead: State = {
  place: firstPage,
  shown: firstPage,
  runs: [],
  signal: null,
  reads: 0,
  cancelTimer: () => {},
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
  const state = { ...nothingRead }
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
    const { signal, place } = state
    if (signal === null || signal.aborted) return
    state.cancelTimer()
    const number = ++state.reads
    const cursor = place.cursors.at(-1)
    try {
      const found = await client.getRuns({ ...filter, cursor, limit: pageSize + 1 })
      if (signal.aborted || number !== state.reads) return
      observed.set({ ...arrive(state, found, pageSize), isLoading: false, error: null })
    } catch (error) {
      if (signal.aborted || number !== state.reads) return
      // The page that was to be turned to is not there: the one that is shown still is.
      state.place = state.shown
      observed.set({ isLoading: false, error: error as Error })
    }
    if (realtime) state.cancelTimer = env.after(REREAD_MS, () => void read())
  }

  function turnTo(cursors: Place['cursors']): void {
    state.place = { cursors, next: undefined }
    observed.set({ isLoading: true })
    void read()
  }

  const observer: RunsObserver = {
    ...observed,
    nextPage() {
      const { cursors, next } = state.place
      if (next !== undefined) turnTo([...cursors, next])
    },
    prevPage() {
      const { cursors } = state.place
      if (cursors.length > 1) turnTo(cursors.slice(0, -1))
    },
    refresh: () => void read(),
  }
  return observer
}

/** The page that was turned to has been read, with one run more if there is one. */
function arrive(
  state: State,
  found: readonly Run[],
  pageSize: number,
): Pick<RunsState, 'runs' | 'page' | 'hasMore'> {
  const { cursors } = state.place
  const hasMore = found.length > pageSize
  const runs = keepSame(state.runs, found.slice(0, pageSize))
  state.runs = runs
  state.place = { cursors, next: hasMore ? runs.at(-1)?.id : undefined }
  state.shown = state.place
  return { runs, page: cursors.length - 1, hasMore }
}

/** What was found, as the same objects where nothing has changed. */
function keepSame(before: readonly Run[], found: readonly Run[]): readonly Run[] {
  const known = new Map(before.map((run) => [textOf(run), run]))
  const runs = found.map((run) => known.get(textOf(run)) ?? run)
  const isSame = runs.length === before.length && runs.every((run, i) => run === before[i])
  return isSame ? before : runs
}

/** What changes of a run, without its values: they change only with the rest. */
function textOf({ id, status, attempt, progress, waitingFor, updatedAt }: Run): string {
  return JSON.stringify([id, status, attempt, progress, waitingFor, updatedAt])
}
