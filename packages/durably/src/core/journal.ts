import type { Encoded, Format } from './codec.ts'
import type { ErrorDetail } from './error.ts'

export type LogLevel = 'info' | 'warn' | 'error'

/** What each kind of entry says beyond its run, position, time and name. */
export interface EntryDataByKind {
  'run:trigger': Record<never, never>
  'run:coalesced': Record<never, never>
  'run:start': { readonly attempt: number }
  'run:release': { readonly reason: 'drain' | 'recover' | 'unclaimed' }
  'run:complete': { readonly duration: number }
  'run:fail': { readonly duration: number; readonly error: ErrorDetail }
  'run:cancel': { readonly reason: 'cancel' | 'ttl' }
  'run:retry': { readonly attempt: number }
  'step:complete': {
    readonly index: number
    readonly duration: number
    readonly output: unknown
    readonly format?: Format
  }
  'step:fail': { readonly index: number; readonly duration: number; readonly error: ErrorDetail }
  'log:write': {
    readonly level: LogLevel
    readonly message: string
    readonly data?: unknown
    readonly format?: Format
  }
}

/** A journal entry's kind is the type of the event it is announced as. */
export type EntryKind = keyof EntryDataByKind

/** A line of a run's journal, before it has a run. */
export interface NewEntry {
  /** Its position in the run's journal, from 1, without gaps. */
  readonly seq: number
  readonly kind: EntryKind
  /** The step it speaks of, or null. */
  readonly name: string | null
  readonly at: number
  /** JSON text of `EntryDataByKind[kind]`. */
  readonly data: string
}

/** A line of a run's journal. */
export interface Entry extends NewEntry {
  readonly runId: string
  /** Of the lease under which it was written. */
  readonly generation: number
}

/** The text of an entry that holds no value of the app. */
export function entryData<K extends Exclude<EntryKind, 'step:complete' | 'log:write'>>(
  _kind: K,
  data: EntryDataByKind[K],
): string {
  return JSON.stringify(data)
}

/** The text of a step's result. The output stands in it as it was encoded, so it is not encoded twice. */
export function stepCompleteData(index: number, duration: number, output: Encoded): string {
  return `{"index":${index},"duration":${duration},${valueText('output', output)}}`
}

/** The text of a log line. */
export function logData(level: LogLevel, message: string, data: Encoded | null): string {
  const head = `{"level":"${level}","message":${JSON.stringify(message)}`
  return data === null ? `${head}}` : `${head},${valueText('data', data)}}`
}

function valueText(key: string, { format, text }: Encoded): string {
  return format === 'json' ? `"${key}":${text}` : `"${key}":${text},"format":"${format}"`
}
