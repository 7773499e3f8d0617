import type { Codec } from './codec.ts'
import {
  dataOf,
  shownOutput,
  valueIn,
  type Entry,
  type EntryDataByKind,
  type LogLevel,
} from './journal.ts'
import { toIso } from './run.ts'
import { isEnding } from './transitions.ts'

/** A step of a run, as recorded in the run's journal. */
export interface Step {
  readonly name: string
  /** Counts from 0, in the order in which steps were first called. */
  readonly index: number
  /** Never `'running'` so far: the journal records how a step ends or that it waits, not that it began. */
  readonly status: 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled'
  readonly output: unknown
  readonly error: string | null
  /** How many times it was executed. */
  readonly attempts: number
  /** When its last attempt started: an ISO string. */
  readonly startedAt: string
  readonly completedAt: string | null
}

/** A line of a run's log. */
export interface Log {
  /** Its position in the run's journal. */
  readonly sequence: number
  readonly stepName: string | null
  readonly level: LogLevel
  readonly message: string
  readonly data: unknown
  readonly timestamp: string
}

/** The steps that a journal tells of, in the order of their indexes. */
export function stepsOf(entries: readonly Entry[], codec: Codec): Step[] {
  const steps = new Map<string, Step>()
  for (const entry of entries) {
    const { name } = entry
    if (isEnding(entry.kind)) closeWaits(steps, entry)
    if (name === null) continue
    const step = stepAfter(entry, name, steps.get(name), codec)
    if (step !== null) steps.set(name, step)
  }
  return [...steps.values()].toSorted((a, b) => a.index - b.index)
}

/** A run that was ended from outside closes its waits without a word. */
function closeWaits(steps: Map<string, Step>, { at }: Entry): void {
  for (const [name, step] of steps) {
    if (step.status !== 'waiting') continue
    steps.set(name, { ...step, status: 'cancelled', completedAt: toIso(at) })
  }
}

/** What the entry makes of the step; null when it does not speak of it. */
function stepAfter(
  entry: Entry,
  name: string,
  before: Step | undefined,
  codec: Codec,
): Step | null {
  const attempts = before?.attempts ?? 0
  switch (entry.kind) {
    case 'step:complete': {
      const data = dataOf(entry, entry.kind)
      const output = shownOutput(entry, data, codec)
      const ended = endOf(entry, name, attempts + 1, data)
      return { ...ended, status: 'completed', output, error: null }
    }
    case 'step:fail': {
      const data = dataOf(entry, entry.kind)
      return { ...failureOf(entry, name, attempts + 1, data), status: 'failed' }
    }
    case 'step:retry': {
      const data = dataOf(entry, entry.kind)
      const failed = failureOf(entry, name, attempts + 1, data)
      return { ...failed, status: 'waiting', completedAt: null }
    }
    case 'step:wait': {
      const { index } = dataOf(entry, entry.kind)
      return { ...open(entry, name, index), attempts }
    }
    case 'step:cancel': {
      const { index } = dataOf(entry, entry.kind)
      const step = before ?? open(entry, name, index)
      return { ...step, status: 'cancelled', completedAt: toIso(entry.at) }
    }
    default:
      return null
  }
}

function open({ at }: Entry, name: string, index: number): Step {
  const startedAt = toIso(at)
  const none = { output: null, error: null, attempts: 0, completedAt: null }
  return { name, index, status: 'waiting', ...none, startedAt }
}

function failureOf(
  entry: Entry,
  name: string,
  attempts: number,
  data: EntryDataByKind['step:fail'],
) {
  return { ...endOf(entry, name, attempts, data), output: null, error: data.error.message }
}

function endOf(
  { at }: Entry,
  name: string,
  attempts: number,
  { index, duration }: { readonly index: number; readonly duration: number },
) {
  return { name, index, attempts, startedAt: toIso(at - duration), completedAt: toIso(at) }
}

/** The log line that an entry is, or null. */
export function toLog(entry: Entry, codec: Codec): Log | null {
  if (entry.kind !== 'log:write') return null
  const { level, message, data, format } = dataOf(entry, 'log:write')
  return {
    sequence: entry.seq,
    stepName: entry.name,
    level,
    message,
    data: valueIn(entry, data, format, codec) ?? null,
    timestamp: toIso(entry.at),
  }
}
