import { pause, type Env } from '../core/env.ts'
import type { ErrorDetail } from '../core/error.ts'
import {
  allDataOf,
  dataOf,
  requireKind,
  type Entry,
  type EntryDataByKind,
} from '../core/journal.ts'
import type { RunRecord } from '../core/run.ts'
import type { JournalPage, Store } from '../store/store.ts'
import { createBackoff } from './backoff.ts'
import { createPasts, type Past, type Pasts, type Recorded } from './past.ts'

/** What a run's journal says of its steps and waits. */
export interface History {
  readonly pasts: Pasts
  /** How many outcomes it has. */
  readonly outcomes: number
  /** When the run started first since it was triggered, or retried last; null: it did not before. */
  readonly startedAt: number | null
  /** When the run was woken last because it was due; null: it was not. */
  readonly dueAt: number | null
}

export interface HistoryOptions {
  readonly store: Pick<Store, 'journal'>
  readonly env: Env
  readonly run: RunRecord
  /** Nobody waits for it any more. */
  readonly isOver: () => boolean
  readonly onError: (error: unknown, context: string, run: RunRecord) => void
}

const PAGE_SIZE = 1000

/**
 * What the journal of a claimed run says; null when the run was deleted, or is someone else's, since it was claimed.
 * A database that does not answer is not the run's fault: asked until it does.
 */
export async function readHistory(options: HistoryOptions): Promise<History | null> {
  const { store, env, run, isOver, onError } = options
  const history = createHistoryReader()
  const backoff = createBackoff(env)
  let position = 0
  // Where nobody held the run before, there is nothing to replay.
  let more = run.generation > 1
  while (more && !isOver()) {
    let page: JournalPage | null
    try {
      page = await store.journal(run.id, position, PAGE_SIZE)
    } catch (error) {
      onError(error, 'reading the journal', run)
      await pause(env, backoff.next())
      continue
    }
    if (page?.run.generation !== run.generation) return null
    const { entries } = page
    history.add(entries)
    position = entries.at(-1)?.seq ?? position
    more = entries.length === PAGE_SIZE
  }
  return history.finish()
}

/** A journal on its way to be a history: read page by page, so that its text is not kept. */
interface HistoryReader {
  /** Throws an error that names the entry that cannot be read. */
  add(entries: readonly Entry[]): void
  finish(): History
}

interface Reading {
  readonly pasts: Pasts
  recorded: Recorded[]
  startedAt: number | null
  dueAt: number | null
}

function createHistoryReader(): HistoryReader {
  const reading: Reading = { pasts: createPasts(), recorded: [], startedAt: null, dueAt: null }
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
      const { pasts, recorded, startedAt, dueAt } = reading
      layOut(recorded)
      return { pasts, outcomes: recorded.length, startedAt, dueAt }
    },
  }
}

function readOther(reading: Reading, entry: Entry): void {
  requireKind(entry)
  if (entry.kind === 'run:start') reading.startedAt ??= entry.at
  else if (entry.kind === 'run:retry') forget(reading)
  else if (entry.kind === 'run:wake' && isDue(entry)) reading.dueAt = entry.at
}

function isDue(entry: Entry): boolean {
  return dataOf(entry, 'run:wake').reason === 'due'
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
