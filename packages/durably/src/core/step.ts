import type { Codec } from './codec.ts'
import { dataOf, valueIn, type Entry, type LogLevel } from './journal.ts'
import { toIso } from './run.ts'

/** A step of a run, as its journal has it. */
export interface Step {
  readonly name: string
  /** From 0, in the order in which steps were first called. */
  readonly index: number
  readonly status: 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled'
  readonly output: unknown
  readonly error: string | null
  /** How often it was executed. */
  readonly attempts: number
  /** Of its last attempt, an ISO string. */
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
    const { name, kind } = entry
    if (name === null || (kind !== 'step:complete' && kind !== 'step:fail')) continue
    const attempts = (steps.get(name)?.attempts ?? 0) + 1
    steps.set(
      name,
      kind === 'step:complete'
        ? completed(entry, name, attempts, codec)
        : failed(entry, name, attempts),
    )
  }
  return [...steps.values()].toSorted((a, b) => a.index - b.index)
}

function completed(entry: Entry, name: string, attempts: number, codec: Codec): Step {
  const data = dataOf(entry, 'step:complete')
  const output = valueIn(entry, data.output, data.format, codec)
  return { ...common(entry, name, attempts, data), status: 'completed', output, error: null }
}

function failed(entry: Entry, name: string, attempts: number): Step {
  const data = dataOf(entry, 'step:fail')
  const { message } = data.error
  return { ...common(entry, name, attempts, data), status: 'failed', output: null, error: message }
}

function common(
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
