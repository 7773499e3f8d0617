import type { ErrorDetail } from '../core/error.ts'
import { allDataOf, requireKind, type Entry, type EntryDataByKind } from '../core/journal.ts'
import type { Wait } from '../core/run.ts'
import type { Deliveries } from './deliveries.ts'

/** The outcome of a step as the journal has it. */
export type Outcome =
  | { readonly ok: true; readonly data: EntryDataByKind['step:complete'] }
  | { readonly ok: false; readonly error: ErrorDetail }

/** What a run's journal says of its steps, and what this execution adds. */
export interface History {
  /** Whether the step was called before, here or in the journal: then its name is a good one. */
  knows(name: string): boolean
  /** The next outcome of the step that was not taken yet. */
  take(name: string): Recorded | null
  /** The step's place in the order in which steps were first called. */
  indexOf(name: string): number
  /** Attempts of the step that failed so far. */
  failures(name: string): number
  /** Of them, those after which this very call tried again. */
  tries(name: string): number
  /** Notes that an attempt failed, and whether another one follows. */
  failed(name: string, isRetried: boolean): void
  /** The wait of this name that opened and has not ended. */
  openWait(name: string): OpenedWait | null
  /** When the next attempt of the step is due that failed last, or null when none is to come. */
  retryAt(name: string): number | null
  /** When the run started first since it was triggered, or retried last; null: it did not before. */
  readonly startedAt: number | null
}

/** A wait as the journal has it. */
export interface OpenedWait {
  readonly at: number
  readonly waits: readonly Wait[]
}

/** An outcome, its turn among all deliveries, and the outcome that the same step had after it. */
interface Recorded {
  readonly name: string
  readonly index: number
  readonly outcome: Outcome
  position: number
  next: Recorded | null
}

/** A journal on its way to be a history: read page by page, so that its text is not kept. */
export interface HistoryReader {
  /** Throws an error that names the entry that cannot be read. */
  add(entries: readonly Entry[]): void
  finish(deliveries: Deliveries): History
}

interface Named {
  readonly index: number
  failures: number
  tries: number
  wait: OpenedWait | null
  retryAt: number | null
  next: Recorded | null
  last: Recorded | null
}

interface Reading {
  readonly names: Map<string, Named>
  recorded: Recorded[]
  startedAt: number | null
}

export function createHistoryReader(): HistoryReader {
  const reading: Reading = { names: new Map(), recorded: [], startedAt: null }
  return {
    add(entries) {
      const data = allDataOf(entries.filter(isOfStep))
      let next = 0
      for (const entry of entries) {
        requireKind(entry)
        if (isOfStep(entry)) readStep(reading, entry, data[next++])
        else if (entry.kind === 'run:start') reading.startedAt ??= entry.at
        else if (entry.kind === 'run:retry') forget(reading)
      }
    },
    finish(deliveries) {
      const { names, recorded, startedAt } = reading
      for (const one of recorded) layOut(one, names, deliveries)
      return createHistory(names, startedAt)
    },
  }
}

/** A retry of the run forgets failures and open waits, and keeps what was completed. */
function forget(reading: Reading): void {
  reading.recorded = reading.recorded.filter(({ outcome }) => outcome.ok)
  reading.startedAt = null
  for (const named of reading.names.values()) close(named)
}

function close(named: Named): void {
  named.tries = 0
  named.wait = null
  named.retryAt = null
}

function readStep({ names, recorded }: Reading, { kind, name, at }: Entry, data: unknown): void {
  const place = name ?? ''
  const { index } = data as { readonly index: number }
  const named = names.get(place) ?? nameNew(names, place, index)
  switch (kind) {
    case 'step:wait':
      named.wait = { at, waits: (data as EntryDataByKind[typeof kind]).waits }
      break
    case 'step:retry':
      named.failures++
      named.tries++
      named.retryAt = (data as EntryDataByKind[typeof kind]).until
      break
    case 'step:complete': {
      close(named)
      const outcome = { ok: true, data: data as EntryDataByKind[typeof kind] } as const
      recorded.push({ name: place, index, outcome, position: 0, next: null })
      break
    }
    case 'step:fail': {
      close(named)
      named.failures++
      const { error } = data as EntryDataByKind[typeof kind]
      recorded.push({ name: place, index, outcome: { ok: false, error }, position: 0, next: null })
      break
    }
    default:
      break
  }
}

function layOut(recorded: Recorded, names: Map<string, Named>, deliveries: Deliveries): void {
  const named = names.get(recorded.name)
  if (named === undefined) return
  recorded.position = deliveries.expect()
  if (named.last === null) named.next = recorded
  else named.last.next = recorded
  named.last = recorded
}

function createHistory(names: Map<string, Named>, startedAt: number | null): History {
  return {
    startedAt,
    knows: (name) => names.has(name),
    take(name) {
      const named = names.get(name)
      const recorded = named?.next ?? null
      if (named !== undefined && recorded !== null) named.next = recorded.next
      return recorded
    },
    indexOf: createIndexes(names),
    failures: (name) => names.get(name)?.failures ?? 0,
    tries: (name) => names.get(name)?.tries ?? 0,
    failed(name, isRetried) {
      const named = names.get(name)
      if (named === undefined) return
      named.failures++
      named.tries = isRetried ? named.tries + 1 : 0
      named.retryAt = null
    },
    openWait: (name) => names.get(name)?.wait ?? null,
    retryAt: (name) => names.get(name)?.retryAt ?? null,
  }
}

/** Names that the journal does not know get the first free places, so that indexes stay as they were. */
function createIndexes(names: Map<string, Named>): (name: string) => number {
  let taken: Set<number> | null = null
  let free = 0
  return (name) => {
    const named = names.get(name)
    if (named !== undefined) return named.index
    taken ??= new Set([...names.values()].map(({ index }) => index))
    while (taken.has(free)) free++
    return nameNew(names, name, free++).index
  }
}

function nameNew(names: Map<string, Named>, name: string, index: number): Named {
  const none = { next: null, last: null, wait: null, retryAt: null }
  const named = { index, failures: 0, tries: 0, ...none }
  names.set(name, named)
  return named
}

function isOfStep({ kind }: Entry): boolean {
  return kind.startsWith('step:')
}
