import type { Codec } from './codec.ts'
import { ValidationError, type ErrorDetail } from './error.ts'
import {
  dataOf,
  shownOutput,
  valueIn,
  type Entry,
  type EntryDataByKind,
  type EntryKind,
  type LogLevel,
} from './journal.ts'
import {
  decodeOutput,
  decodePayload,
  toIso,
  type Labels,
  type Progress,
  type RunRecord,
  type Wait,
} from './run.ts'
import { show } from './show.ts'
import { tickTypes } from './tick.ts'

interface OfRun<TLabels = Labels> {
  /** ISO string. */
  readonly timestamp: string
  /**
   * Facts: the position in the run's journal, from 1, without gaps, the same in every process.
   * Ticks (`step:start`, `run:progress`, `worker:error`): the position of the fact before them.
   */
  readonly sequence: number
  readonly runId: string
  readonly jobName: string
  readonly labels: TLabels
}

interface OfStep {
  readonly stepName: string
  /** From 0, in the order in which steps were first called; a resumed run keeps it. */
  readonly stepIndex: number
}

/** The fields of each event beside `type`. Durations are in milliseconds. */
interface EventFields<TLabels> {
  'run:trigger': OfRun<TLabels> & { readonly payload: unknown }
  'run:coalesced': OfRun<TLabels>
  'run:start': OfRun<TLabels> & { readonly payload: unknown; readonly attempt: number }
  'run:wait': OfRun<TLabels> & { readonly waitingFor: readonly Wait[] }
  /** `due`: its time came; `asked`: its code went on by itself; else what it was sent, or `run`: another run ended. */
  'run:wake': OfRun<TLabels> & { readonly reason: EntryDataByKind['run:wake']['reason'] }
  'run:release': OfRun<TLabels> & { readonly reason: EntryDataByKind['run:release']['reason'] }
  'run:complete': OfRun<TLabels> & { readonly output: unknown; readonly duration: number }
  'run:fail': OfRun<TLabels> & {
    readonly error: string
    readonly errorDetail: ErrorDetail
    /** The step that the error came from; null when the job itself threw. */
    readonly failedStepName: string | null
    readonly duration: number
  }
  'run:cancel': OfRun<TLabels> & { readonly reason: 'cancel' | 'ttl' }
  'run:retry': OfRun<TLabels> & { readonly attempt: number }
  'run:delete': OfRun<TLabels>
  'run:progress': OfRun<TLabels> & { readonly progress: Progress }
  'step:start': OfRun<TLabels> & OfStep
  'step:complete': OfRun<TLabels> & OfStep & { readonly output: unknown; readonly duration: number }
  'step:fail': OfRun<TLabels> &
    OfStep & {
      readonly error: string
      readonly errorDetail: ErrorDetail
      readonly duration: number
    }
  'step:wait': OfRun<TLabels> & OfStep & { readonly waitingFor: readonly Wait[] }
  'step:retry': OfRun<TLabels> &
    OfStep & {
      readonly error: string
      readonly errorDetail: ErrorDetail
      readonly duration: number
      /** When the next attempt is due: an ISO string. */
      readonly retryAt: string
    }
  /** Part of a stream. It counts once its step completes, and is void if the step fails or starts anew before that. */
  'step:chunk': OfRun<TLabels> &
    OfStep & { readonly stream: string; readonly attempt: number; readonly chunk: unknown }
  /** A wait that was still open when the run ended. */
  'step:cancel': OfRun<TLabels> & OfStep
  'log:write': OfRun<TLabels> & {
    readonly stepName: string | null
    readonly level: LogLevel
    readonly message: string
    readonly data: unknown
  }
  'worker:error': {
    readonly timestamp: string
    readonly sequence: number
    /** Null when the error does not concern one run. */
    readonly runId: string | null
    readonly jobName: string | null
    readonly error: string
    readonly errorDetail: ErrorDetail
    /** What the worker was doing. */
    readonly context: string
  }
}

/** The type of an event: `'run:complete'`, `'step:fail'` and so on. */
export type EventType = keyof EventFields<Labels>

/** An event of type `E`, or any event. */
export type DurablyEvent<E extends EventType = EventType, TLabels = Labels> = {
  [T in E]: { readonly type: T } & EventFields<TLabels>[T]
}[E]

type RunEventType = Extract<EventType, `run:${string}`>

/**
 * What `subscribeRuns` gives: an event of a run that this process changed, or a hint that another process may have
 * changed a run (null: any run).
 */
export type RunChange<TLabels = Labels> =
  | DurablyEvent<RunEventType, TLabels>
  | { readonly type: 'run:changed'; readonly runId: string | null }

/** A function that `on` calls with each event of one type. */
export type EventHandler<E extends EventType, TLabels = Labels> = (
  event: DurablyEvent<E, TLabels>,
) => void | Promise<void>

/** What an event needs to know of the run it speaks of. */
export type EventRun = Pick<RunRecord, 'id' | 'jobName' | 'labels' | 'payload' | 'output'>

/** What a journal entry is announced as. Throws an error that names the entry or the run that cannot be read. */
export function toEvent(entry: Entry, run: EventRun, codec: Codec): DurablyEvent {
  // Also for kinds whose event says no more than that.
  dataOf(entry, entry.kind)
  const of: OfRun = {
    timestamp: toIso(entry.at),
    sequence: entry.seq,
    runId: run.id,
    jobName: run.jobName,
    labels: run.labels,
  }
  return eventOfKind[entry.kind](of, entry, run, codec)
}

type Build = (of: OfRun, entry: Entry, run: EventRun, codec: Codec) => DurablyEvent

const eventOfKind: Record<EntryKind, Build> = {
  'run:trigger': (of, _entry, run, codec) => ({
    type: 'run:trigger',
    ...of,
    payload: decodePayload(run, codec),
  }),
  'run:coalesced': (of) => ({ type: 'run:coalesced', ...of }),
  'run:start': (of, entry, run, codec) => ({
    type: 'run:start',
    ...of,
    payload: decodePayload(run, codec),
    attempt: dataOf(entry, 'run:start').attempt,
  }),
  'run:wait': (of, entry) => ({
    type: 'run:wait',
    ...of,
    waitingFor: dataOf(entry, 'run:wait').waits,
  }),
  'run:wake': (of, entry) => ({
    type: 'run:wake',
    ...of,
    reason: dataOf(entry, 'run:wake').reason,
  }),
  'run:release': (of, entry) => ({
    type: 'run:release',
    ...of,
    reason: dataOf(entry, 'run:release').reason,
  }),
  'run:complete': (of, entry, run, codec) => ({
    type: 'run:complete',
    ...of,
    output: decodeOutput(run, codec) ?? null,
    duration: dataOf(entry, 'run:complete').duration,
  }),
  'run:fail': (of, entry) => {
    const { error, duration } = dataOf(entry, 'run:fail')
    const failedStepName = error.step ?? null
    return { type: 'run:fail', ...of, ...errorFields(error), failedStepName, duration }
  },
  'run:cancel': (of, entry) => ({
    type: 'run:cancel',
    ...of,
    reason: dataOf(entry, 'run:cancel').reason,
  }),
  'run:retry': (of, entry) => ({
    type: 'run:retry',
    ...of,
    attempt: dataOf(entry, 'run:retry').attempt,
  }),
  'step:complete': (of, entry, _run, codec) => {
    const data = dataOf(entry, 'step:complete')
    const { index, duration } = data
    const output = shownOutput(entry, data, codec)
    return { type: 'step:complete', ...of, ...stepFields(entry, index), output, duration }
  },
  'step:fail': (of, entry) => {
    const { index, duration, error } = dataOf(entry, 'step:fail')
    return {
      type: 'step:fail',
      ...of,
      ...stepFields(entry, index),
      ...errorFields(error),
      duration,
    }
  },
  'step:wait': (of, entry) => {
    const { index, waits } = dataOf(entry, 'step:wait')
    return { type: 'step:wait', ...of, ...stepFields(entry, index), waitingFor: waits }
  },
  'step:retry': (of, entry) => {
    const { index, duration, error, until } = dataOf(entry, 'step:retry')
    return {
      type: 'step:retry',
      ...of,
      ...stepFields(entry, index),
      ...errorFields(error),
      duration,
      retryAt: toIso(until),
    }
  },
  'step:chunk': (of, entry, _run, codec) => {
    const { index, stream, attempt, chunk: stored, format } = dataOf(entry, 'step:chunk')
    const chunk = valueIn(entry, stored, format, codec)
    return { type: 'step:chunk', ...of, ...stepFields(entry, index), stream, attempt, chunk }
  },
  'step:cancel': (of, entry) => ({
    type: 'step:cancel',
    ...of,
    ...stepFields(entry, dataOf(entry, 'step:cancel').index),
  }),
  'log:write': (of, entry, _run, codec) => {
    const { level, message, data, format } = dataOf(entry, 'log:write')
    const value = valueIn(entry, data, format, codec)
    return { type: 'log:write', ...of, stepName: entry.name, level, message, data: value }
  },
}

function stepFields(entry: Entry, stepIndex: number): OfStep {
  return { stepName: entry.name ?? '', stepIndex }
}

function errorFields(errorDetail: ErrorDetail): { error: string; errorDetail: ErrorDetail } {
  return { error: errorDetail.message, errorDetail }
}

const types: readonly string[] = [...Object.keys(eventOfKind), 'run:delete', ...tickTypes]

/** Throws `ValidationError` unless there are such events. */
export function requireEventType(type: unknown): asserts type is EventType {
  if (typeof type === 'string' && types.includes(type)) return
  throw new ValidationError(`event must be one of ${types.join(', ')}; got ${show(type)}`)
}
