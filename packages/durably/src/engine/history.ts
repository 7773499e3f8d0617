import type { ErrorDetail } from '../core/error.ts'
import { allDataOf, requireKind, type Entry, type EntryDataByKind } from '../core/journal.ts'
import { createPasts, type Past, type Pasts, type Recorded } from './past.ts'

/** What a run's journal says of its steps and waits. */
interface History {
  readonly pasts: Pasts
  /** How many outcomes it has. */
  readonly outcomes: number
  /** When the run started first since it was triggered, or retried last; null: it did not before. */
  readonly startedAt: number | null
}

/** A journal on its way to be a history: read page by page, so that its text is not kept. */
export interface HistoryReader {
  /** Throws an error that names the entry that cannot be read. */
  add(entries: readonly Entry[]): void
  finish(): History
}

interface Reading {
  readonly pasts: Pasts
  recorded: Recorded[]
  startedAt: number | null
}

export function createHistoryReader(): HistoryReader {
  const reading: Reading = { pasts: createPasts(), recorded: [], startedAt: null }
  return {
    add(entries) {
      const ofSteps = entries.filter(isOfStep)
      const data = allDataOf(ofSteps)
      let next = 0
      for (const entry of entries) {
        if (entry === ofSteps[next]) readStep(reading, entry, data[next++])
        else readOther(reading, entry)
      }
    },
    finish() {
      const { pasts, recorded, startedAt } = reading
      layOut(recorded)
      return { pasts, outcomes: recorded.length, startedAt }
    },
  }
}

function readOther(reading: Reading, entry: Entry): void {
  requireKind(entry)
  if (entry.kind === 'run:start') reading.startedAt ??= entry.at
  else if (entry.kind === 'run:retry') forget(reading)
}

/** A retry of the run forgets failures and open waits, and keeps what was completed. */
function forget(reading: Reading): void {
  reading.recorded = reading.recorded.filter(({ data }) => data !== null)
  reading.startedAt = null
  for (const past of reading.pasts.all()) close(past)
}

function close(past: Past): void {
  past.tries = 0
  past.wait = null
  past.retryAt = null
}

function readStep({ pasts, recorded }: Reading, { kind, name, at }: Entry, data: unknown): void {
  const past = pasts.of(name ?? '', (data as { readonly index: number }).index)
  switch (kind) {
    case 'step:wait':
      past.wait = { at, waits: (data as EntryDataByKind[typeof kind]).waits }
      break
    case 'step:retry':
      past.failures++
      past.tries++
      past.retryAt = (data as EntryDataByKind[typeof kind]).until
      break
    case 'step:complete':
      close(past)
      recorded.push(outcome(past, data as EntryDataByKind[typeof kind], null))
      break
    case 'step:fail':
      close(past)
      past.failures++
      recorded.push(outcome(past, null, (data as EntryDataByKind[typeof kind]).error))
      break
    default:
      break
  }
}

function outcome(past: Past, data: Recorded['data'], error: ErrorDetail | null): Recorded {
  return { past, data, error, position: 0, next: null }
}

/** From the last one on, so that each finds the one after it of the same name. */
function layOut(recorded: readonly Recorded[]): void {
  for (let position = recorded.length - 1; position >= 0; position--) {
    const one = recorded[position]
    if (one === undefined) continue
    one.position = position
    one.next = one.past.next
    one.past.next = one
  }
}

function isOfStep({ kind }: Entry): boolean {
  return kind.startsWith('step:')
}
