import type { ErrorDetail } from '../core/error.ts'
import type { Entry, EntryDataByKind } from '../core/journal.ts'
import type { Deliveries } from './deliveries.ts'

/** The outcome of a step as the journal has it. */
export interface Recorded {
  readonly outcome:
    | { readonly ok: true; readonly data: EntryDataByKind['step:complete'] }
    | { readonly ok: false; readonly error: ErrorDetail }
  /** Asks for it to be handed out when its turn comes. */
  readonly ask: (deliver: () => void) => void
}

/** What a run's journal says of its steps. */
export interface History {
  /** The next outcome of the step that was not taken yet. */
  take(name: string): Recorded | undefined
  /** The step's place in the order in which steps were first called. */
  indexOf(name: string): number
  /** Attempts of the step that failed so far. */
  failures(name: string): number
  failed(name: string): void
}

/** Throws an error that names the entry when one cannot be read. */
export function createHistory(entries: readonly Entry[], deliveries: Deliveries): History {
  const indexes = new Map<string, number>()
  const failures = new Map<string, number>()
  const recorded = new Map<string, Recorded[]>()
  const failed = (name: string): void => void failures.set(name, (failures.get(name) ?? 0) + 1)

  const retriedAt = entries.findLast(({ kind }) => kind === 'run:retry')?.seq ?? 0
  for (const entry of entries) {
    const read = readOutcome(entry)
    if (read === null) continue
    const { name, index, outcome } = read
    indexes.set(name, index)
    if (!outcome.ok) failed(name)
    // A retry of the run forgets failures, and keeps what was completed.
    if (!outcome.ok && entry.seq < retriedAt) continue
    const ofName = recorded.get(name) ?? []
    recorded.set(name, ofName)
    ofName.push({ outcome, ask: deliveries.expect() })
  }
  return {
    take: (name) => recorded.get(name)?.shift(),
    indexOf: createIndexes(indexes),
    failures: (name) => failures.get(name) ?? 0,
    failed,
  }
}

/** Names that the journal does not know get the first free places, so that indexes stay as they were. */
function createIndexes(indexes: Map<string, number>): (name: string) => number {
  const taken = new Set(indexes.values())
  let free = 0
  return (name) => {
    const known = indexes.get(name)
    if (known !== undefined) return known
    while (taken.has(free)) free++
    indexes.set(name, free)
    return free++
  }
}

function readOutcome(
  entry: Entry,
): { name: string; index: number; outcome: Recorded['outcome'] } | null {
  const { kind, name } = entry
  if (name === null) return null
  if (kind === 'step:complete') {
    const data = read<'step:complete'>(entry)
    return { name, index: data.index, outcome: { ok: true, data } }
  }
  if (kind === 'step:fail') {
    const { index, error } = read<'step:fail'>(entry)
    return { name, index, outcome: { ok: false, error } }
  }
  return null
}

function read<K extends 'step:complete' | 'step:fail'>(entry: Entry): EntryDataByKind[K] {
  try {
    return JSON.parse(entry.data) as EntryDataByKind[K]
  } catch (cause) {
    const what = `entry ${entry.seq} (${entry.kind} "${entry.name}") of the journal of run ${entry.runId}`
    throw new Error(`Cannot read ${what}: it is not what was written`, { cause })
  }
}
