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
  /** How many runs a page of the list has. Default 20. */
  readonly pageSize?: number | undefined
  /** Whether the list follows the changes of runs. Default true. */
  readonly realtime?: boolean | undefined
}

/** What a page shows of a list of runs. */
export interface RunsState<TRun extends Run = Run> {
  /** Newest first. */
  readonly runs: readonly TRun[]
  /** The page that is shown, counted from 0. */
  readonly page: number
  readonly hasMore: boolean
  readonly isLoading: boolean
  /** Why the runs could not be read; those that were read before stay. */
  readonly error: Error | null
}

/** A list of runs, kept up to date. */
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
  /** Each read has a number: an answer is dropped if a later read was answered before, or was of another page. */
  reads: number
  answered: number
  /** Something happened since it was asked last. */
  isStale: boolean
  cancelTimer: () => void
}

const nothingRead: State = {
  place: firstPage,
  shown: firstPage,
  runs: [],
  signal: null,
  reads: 0,
  answered: 0,
  isStale: false,
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
  const soon = createSoon(env, REREAD_GAP_MS, () => {
    // A slow server is not asked more often than it answers.
    if (state.answered < state.reads) state.isStale = true
    else void read()
  })
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
    // Also beneath an answer that does not come.
    if (realtime) state.cancelTimer = env.after(REREAD_MS, () => void read())
    state.isStale = false
    const number = ++state.reads
    const { cursors } = place
    const asked = client.getRuns({ ...filter, cursor: cursors.at(-1), limit: pageSize + 1 })
    const found = await asked.catch((error: unknown) => error as Error)
    if (signal.aborted || number < state.answered || cursors !== state.place.cursors) return
    state.answered = number
    observed.set(arrive(state, found, pageSize))
    if (state.isStale) soon.ask()
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

/** The page that was turned to has been read, with one run more if there is one; or could not be. */
function arrive(state: State, found: readonly Run[] | Error, pageSize: number): Partial<RunsState> {
  if (found instanceof Error) {
    // The page that was to be turned to is not there: the one that is shown still is.
    state.place = state.shown
    return { isLoading: false, error: found }
  }
  const { cursors } = state.place
  const hasMore = found.length > pageSize
  const runs = keepSame(state.runs, found.slice(0, pageSize))
  state.runs = runs
  state.place = { cursors, next: hasMore ? runs.at(-1)?.id : undefined }
  state.shown = state.place
  return { runs, page: cursors.length - 1, hasMore, isLoading: false, error: null }
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
