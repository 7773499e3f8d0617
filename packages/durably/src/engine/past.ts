import type { ErrorDetail } from '../core/error.ts'
import type { EntryDataByKind } from '../core/journal.ts'
import type { Wait } from '../core/run.ts'

/** What happened so far of the step or the wait of one name, in the journal and in this execution. */
export interface Past {
  readonly name: string
  /** Its place in the order in which names were first called. */
  readonly index: number
  /** It is open, or completed, in this execution. */
  isUsed: boolean
  /** Attempts that failed so far. */
  failures: number
  /** Of them, those after which this very call tried again. */
  tries: number
  /** When the next attempt is due after the one that failed last, or null when none is to come. */
  retryAt: number | null
  /** The wait that opened and has not ended. */
  wait: OpenedWait | null
  /** The first outcome that was not taken yet. */
  next: Recorded | null
}

/** A wait as the journal has it. */
export interface OpenedWait {
  readonly at: number
  readonly waits: readonly Wait[]
}

/** An outcome as the journal has it: that of a call that completed, or failed. */
export interface Recorded {
  readonly past: Past
  readonly data: EntryDataByKind['step:complete'] | null
  readonly error: ErrorDetail | null
  /** Its turn among all outcomes. */
  position: number
  /** The outcome that the same name had after it. */
  next: Recorded | null
}

/** The pasts of a run, each found by its name. */
export interface Pasts {
  find(name: string): Past | null
  /** The past of an entry in the journal. */
  of(name: string, index: number): Past
  /** That of a name which nobody knows: it gets the first free place, so that indexes stay as they were. */
  begin(name: string): Past
  all(): Iterable<Past>
}

interface State {
  /** Those whose index is their place here: all of them, where calls came one after the other. */
  readonly inOrder: Past[]
  /** The place in it to look at first: names are asked for in the order in which they came, as a rule. */
  expected: number
  /** Made as soon as a name is asked for that does not stand there. */
  byName: Map<string, Past> | null
  /** Where calls did not come one after the other. */
  taken: Set<number> | null
  free: number
}

export function createPasts(): Pasts {
  const pasts: State = { inOrder: [], expected: 0, byName: null, taken: null, free: 0 }
  return {
    find: (name) => find(pasts, name),
    of: (name, index) => recordedAs(pasts, name, index) ?? add(pasts, name, index),
    begin: (name) => add(pasts, name, freePlace(pasts)),
    all: () => pasts.byName?.values() ?? pasts.inOrder,
  }
}

function find(pasts: State, name: string): Past | null {
  const expected = pasts.inOrder[pasts.expected]
  if (expected?.name === name) {
    pasts.expected++
    return expected
  }
  const past = named(pasts).get(name)
  if (past === undefined) return null
  pasts.expected = past.index + 1
  return past
}

/** Null for a name that comes up for the first time: where all came in order, the next one did. */
function recordedAs(pasts: State, name: string, index: number): Past | null {
  const { inOrder, byName } = pasts
  const past = inOrder[index]
  if (past?.name === name) return past
  if (byName === null && index === inOrder.length) return null
  return named(pasts).get(name) ?? null
}

function named(pasts: State): Map<string, Past> {
  pasts.byName ??= new Map(pasts.inOrder.map((past) => [past.name, past]))
  return pasts.byName
}

function freePlace(pasts: State): number {
  const { inOrder } = pasts
  if (named(pasts).size === inOrder.length) return inOrder.length
  pasts.taken ??= new Set([...named(pasts).values()].map(({ index }) => index))
  while (pasts.taken.has(pasts.free)) pasts.free++
  return pasts.free++
}

function add(pasts: State, name: string, index: number): Past {
  const { inOrder, byName } = pasts
  const past: Past = {
    name,
    index,
    isUsed: false,
    failures: 0,
    tries: 0,
    retryAt: null,
    wait: null,
    next: null,
  }
  if (index === inOrder.length) inOrder.push(past)
  byName?.set(name, past)
  return past
}
