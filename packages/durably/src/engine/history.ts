import type { ErrorDetail } from '../core/error.ts'
import { allDataOf, requireKind, type Entry, type EntryDataByKind } from '../core/journal.ts'
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
  failed(name: string): void
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
  next: Recorded | null
  last: Recorded | null
}

export function createHistoryReader(): HistoryReader {
  const names = new Map<string, Named>()
  let recorded: Recorded[] = []
  return {
    add(entries) {
      const data = allDataOf(entries.filter(isOutcome))
      let next = 0
      for (const entry of entries) {
        requireKind(entry)
        // A retry of the run forgets failures, and keeps what was completed.
        if (entry.kind === 'run:retry') recorded = recorded.filter(({ outcome }) => outcome.ok)
        if (!isOutcome(entry)) continue
        const read = toRecorded(entry, data[next++])
        const named = names.get(read.name) ?? nameNew(names, read.name, read.index)
        if (!read.outcome.ok) named.failures++
        recorded.push(read)
      }
    },
    finish(deliveries) {
      for (const one of recorded) layOut(one, names, deliveries)
      return createHistory(names)
    },
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

function createHistory(names: Map<string, Named>): History {
  return {
    knows: (name) => names.has(name),
    take(name) {
      const named = names.get(name)
      const recorded = named?.next ?? null
      if (named !== undefined && recorded !== null) named.next = recorded.next
      return recorded
    },
    indexOf: createIndexes(names),
    failures: (name) => names.get(name)?.failures ?? 0,
    failed(name) {
      const named = names.get(name)
      if (named !== undefined) named.failures++
    },
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
  const named = { index, failures: 0, next: null, last: null }
  names.set(name, named)
  return named
}

function isOutcome({ kind }: Entry): boolean {
  return kind === 'step:complete' || kind === 'step:fail'
}

function toRecorded({ name, kind }: Entry, data: unknown): Recorded {
  const place = name ?? ''
  if (kind === 'step:complete') return completed(place, data as EntryDataByKind[typeof kind])
  return failed(place, data as EntryDataByKind['step:fail'])
}

function completed(name: string, data: EntryDataByKind['step:complete']): Recorded {
  return { name, index: data.index, outcome: { ok: true, data }, position: 0, next: null }
}

function failed(name: string, { index, error }: EntryDataByKind['step:fail']): Recorded {
  return { name, index, outcome: { ok: false, error }, position: 0, next: null }
}
