import { decodeParsed, type Codec, type Encoded, type Format } from './codec.ts'
import { isErrorDetail, type ErrorDetail } from './error.ts'
import type { Wait } from './run.ts'
import { unreadable } from './unreadable.ts'

/** What makes a step: `sleepUntil` is a `sleep`, too. */
export type StepKind = 'run' | 'sleep' | 'waitForSignal' | 'token' | 'waitForToken' | 'waitAny'

/** The level of a line in a run's log. */
export type LogLevel = 'info' | 'warn' | 'error'

/** What each kind of entry says beyond its run, position, time and name. */
export interface EntryDataByKind {
  'run:trigger': Record<never, never>
  /** `by`: the id of the run that would have been, so that its trigger is known when it is sent again. */
  'run:coalesced': { readonly by?: string }
  'run:start': { readonly attempt: number }
  'run:wait': { readonly waits: readonly Wait[] }
  'run:wake': { readonly reason: 'due' | 'signal' | 'token' | 'run' | 'wake' | 'asked' }
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
    /** What the job's code called for it; absent: `run`. A token is for the run alone: masked wherever people see it. */
    readonly by?: Exclude<StepKind, 'run'>
  }
  /** A wait opened; its deadlines are fixed here. It ends as its step completes, fails or is cancelled. */
  'step:wait': { readonly index: number; readonly waits: readonly Wait[] }
  /** An attempt failed; the next one is at `until`, in milliseconds. */
  'step:retry': {
    readonly index: number
    readonly duration: number
    readonly error: ErrorDetail
    readonly until: number
  }
  /** An open wait was closed because the run ended. */
  'step:cancel': { readonly index: number }
  'step:fail': { readonly index: number; readonly duration: number; readonly error: ErrorDetail }
  /** A part of a stream that an attempt of the step wrote; void unless the step completes after it. */
  'step:chunk': {
    readonly index: number
    readonly attempt: number
    readonly stream: string
    readonly chunk: unknown
    readonly format?: Format
  }
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
export function entryData<
  K extends Exclude<EntryKind, 'step:complete' | 'step:chunk' | 'log:write'>,
>(_kind: K, data: EntryDataByKind[K]): string {
  return JSON.stringify(data)
}

/** The text of a step's result. The output stands in it as it was encoded, so it is not encoded twice. */
export function stepCompleteData(
  index: number,
  duration: number,
  output: Encoded,
  by: StepKind,
): string {
  const head = `{"index":${index},"duration":${duration}${by === 'run' ? '' : `,"by":"${by}"`}`
  return `${head},${valueText('output', output)}}`
}

/** The text of a part of a stream. */
export function chunkData(index: number, attempt: number, stream: string, chunk: Encoded): string {
  const head = `{"index":${index},"attempt":${attempt},"stream":${JSON.stringify(stream)}`
  return `${head},${valueText('chunk', chunk)}}`
}

/** The text of a log line. */
export function logData(level: LogLevel, message: string, data: Encoded | null): string {
  const head = `{"level":"${level}","message":${JSON.stringify(message)}`
  return data === null ? `${head}}` : `${head},${valueText('data', data)}}`
}

function valueText(key: string, { format, text }: Encoded): string {
  return format === 'json' ? `"${key}":${text}` : `"${key}":${text},"format":"${format}"`
}

/** What the entry says. Throws an error that names it when it is not what was written. */
export function dataOf<K extends EntryKind>(entry: Entry, _kind: K): EntryDataByKind[K] {
  try {
    requireKind(entry)
    const data: unknown = JSON.parse(entry.data)
    requireShape(entry, data)
    return data as EntryDataByKind[K]
  } catch (cause) {
    throw unreadable(nameOf(entry), cause)
  }
}

/** The same of many, of any kind: taken apart together, which costs less. */
export function allDataOf(entries: readonly Entry[]): readonly unknown[] {
  const all = parseTogether(entries)
  if (all === null) return entries.map((entry) => dataOf(entry, entry.kind))
  for (const [i, entry] of entries.entries()) {
    try {
      requireShape(entry, all[i])
    } catch (cause) {
      throw unreadable(nameOf(entry), cause)
    }
  }
  return all
}

/** Null when one of them is not JSON, or not one value: then each has to be looked at. */
function parseTogether(entries: readonly Entry[]): readonly unknown[] | null {
  try {
    const all: unknown = JSON.parse(`[${entries.map(({ data }) => data).join()}]`)
    return Array.isArray(all) && all.length === entries.length ? all : null
  } catch {
    return null
  }
}

/** A value of the app that the entry holds. Throws an error that names the entry when it cannot be read. */
export function valueIn(
  entry: Entry,
  value: unknown,
  format: Format | undefined,
  codec: Codec,
): unknown {
  try {
    return decodeParsed(value, format ?? 'json', codec)
  } catch (cause) {
    throw unreadable(nameOf(entry), cause)
  }
}

/** What people see of a step's result. Throws an error that names the entry when it cannot be read. */
export function shownOutput(
  entry: Entry,
  { output, format, by }: EntryDataByKind['step:complete'],
  codec: Codec,
): unknown {
  return by === 'token' ? MASK : valueIn(entry, output, format, codec)
}

/** What stands where a token is. */
const MASK = '[secret]'

/** Throws an error that names the entry, unless there are such entries. */
export function requireKind(entry: Entry): void {
  if (!Object.hasOwn(shapes, entry.kind)) throw unreadable(nameOf(entry))
}

function nameOf({ seq, kind, name, runId }: Entry): string {
  const what = name === null ? kind : `${kind} "${name}"`
  return `entry ${seq} (${what}) of the journal of run ${runId}`
}

/** Called for each entry of a replay: it makes nothing that is thrown away. */
function requireShape({ kind, name, at }: Entry, data: unknown): void {
  if (!(Math.abs(at) <= MAX_TIME)) throw new TypeError('It has no time')
  if (name === null && kind.startsWith('step:')) throw new TypeError('It names no step')
  for (const part of shapes[kind]) {
    if (!hasPart[part](data ?? {})) throw new TypeError(`It has no ${part}`)
  }
}

// What a Date can hold.
const MAX_TIME = 8.64e15

type Part =
  | 'index'
  | 'duration'
  | 'attempt'
  | 'error'
  | 'reason'
  | 'level'
  | 'message'
  | 'waits'
  | 'until'
  | 'stream'

const isText = (value: unknown): boolean => typeof value === 'string'

// Each takes its part by name: looked up by a variable, the parts of 10,000 entries cost some 2 ms more.
const hasPart: Readonly<Record<Part, (data: Readonly<Partial<Record<Part, unknown>>>) => boolean>> =
  {
    index: ({ index }) => Number.isSafeInteger(index) && Number(index) >= 0,
    duration: ({ duration }) => Number.isFinite(duration),
    attempt: ({ attempt }) => Number.isSafeInteger(attempt),
    error: ({ error }) => isErrorDetail(error),
    reason: ({ reason }) => isText(reason),
    level: ({ level }) => isText(level),
    message: ({ message }) => isText(message),
    waits: ({ waits }) => Array.isArray(waits),
    stream: ({ stream }) => isText(stream),
    until: ({ until }) => typeof until === 'number' && Math.abs(until) <= MAX_TIME,
  }

const shapes: Readonly<Record<EntryKind, readonly Part[]>> = {
  'run:trigger': [],
  'run:coalesced': [],
  'run:start': ['attempt'],
  'run:wait': ['waits'],
  'run:wake': ['reason'],
  'run:release': ['reason'],
  'run:complete': ['duration'],
  'run:fail': ['duration', 'error'],
  'run:cancel': ['reason'],
  'run:retry': ['attempt'],
  'step:complete': ['index', 'duration'],
  'step:fail': ['index', 'duration', 'error'],
  'step:wait': ['index', 'waits'],
  'step:retry': ['index', 'duration', 'error', 'until'],
  'step:cancel': ['index'],
  'step:chunk': ['index', 'attempt', 'stream'],
  'log:write': ['level', 'message'],
}
