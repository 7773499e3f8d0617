import type { RunRecord } from '../core/run.ts'
import type {
  Answer,
  Claim,
  ClaimRequest,
  Commit,
  Enqueued,
  NewRun,
  Send,
  Sent,
} from '../store/store.ts'
import type { Backoff } from './backoff.ts'

/**
 * Someone who has something to commit. It is asked for it when the batch leaves, so that it can put into it
 * what came up meanwhile; asked again after an error, it must give the same commit again.
 */
export interface CommitSource {
  run(): RunRecord
  take(): Commit
  answered(answer: Answer): void
  /** The database will never take this commit. */
  rejected(error: Error): void
}

/** Something in line, and until when it is worth sending. */
export interface Waiting<T> {
  readonly what: T
  readonly deadline: number
  /** It was in a transaction that failed. */
  readonly hasFailed: boolean
}

/** A commit in line. */
interface WaitingCommit extends Waiting<CommitSource> {
  /** How long it rests each time it fails alone. */
  readonly rest: Backoff
  /** Others go before it until then: it failed alone. */
  readonly restUntil: number
}

/** What a caller wants written, all in one transaction, and waits for. */
export interface Asked<T, A> {
  readonly items: readonly T[]
  readonly resolve: (answers: readonly A[]) => void
  readonly reject: (error: unknown) => void
  /** It was sent, and is to be sent again. */
  readonly failed: (error: unknown) => void
}

type Enqueue = Asked<NewRun, Enqueued>
type Mail = Asked<Send, Sent>

interface ClaimInLine {
  readonly request: ClaimRequest
  readonly resolve: (claimed: readonly Claim[]) => void
  readonly reject: (error: unknown) => void
}

/** Those who wait, in the order in which they came. */
export interface Lines {
  sources: WaitingCommit[]
  enqueues: Waiting<Enqueue>[]
  mail: Waiting<Mail>[]
  /** Of as many sessions; each transaction takes one along. */
  readonly claims: ClaimInLine[]
}

/** What travels in one transaction. */
export interface Sending {
  readonly sources: readonly WaitingCommit[]
  readonly enqueues: readonly Waiting<Enqueue>[]
  readonly mail: readonly Waiting<Mail>[]
  readonly claim: ClaimInLine | null
}

// A transaction that is too large holds everyone up, and a statement's parameter has a limit.
const MAX_SOURCES = 1000
const MAX_CHARS = 16_000_000
const MAX_RUNS = 10_000
const MAX_MESSAGES = 1000

/** Takes out of the lines those whose time is over: they are told so, and what they asked for must not come after that. */
export function dismissLate(lines: Lines, now: number): void {
  const isInTime = ({ deadline }: Waiting<unknown>): boolean => deadline > now
  if (!lines.enqueues.every(isInTime)) lines.enqueues = lines.enqueues.filter(isInTime)
  if (!lines.mail.every(isInTime)) lines.mail = lines.mail.filter(isInTime)
}

/** Whether anyone is in line who does not rest. */
export function isAnyReady({ sources, enqueues, mail, claims }: Lines, now: number): boolean {
  const others = enqueues.length + mail.length + claims.length
  return others > 0 || sources.some(({ restUntil }) => restUntil <= now)
}

/** Takes out of the lines what one transaction takes. */
export function board(lines: Lines, now: number): Sending {
  const { claims } = lines
  const resting = lines.sources.filter(({ restUntil }) => restUntil > now)
  const ready =
    resting.length === 0 ? lines.sources : lines.sources.filter(({ restUntil }) => restUntil <= now)
  const sources = ready.splice(0, thatFit(ready, MAX_SOURCES, one, sizeOfCommit))
  lines.sources = resting.length === 0 ? ready : [...ready, ...resting]
  const enqueues = lines.enqueues.splice(0, thatFit(lines.enqueues, MAX_RUNS, many, sizeOfRuns))
  const mail = lines.mail.splice(0, thatFit(lines.mail, MAX_MESSAGES, many, sizeOfMail))
  return { sources, enqueues, mail, claim: claims.shift() ?? null }
}

/** How many of the line one transaction takes: at least the first, and no more than a bounded number and size. */
function thatFit<T>(
  line: readonly Waiting<T>[],
  most: number,
  count: (what: T) => number,
  size: (what: T) => number,
): number {
  let items = 0
  let chars = 0
  const tooMany = line.findIndex(({ what }, i) => {
    items += count(what)
    chars += size(what)
    return i > 0 && (items > most || chars > MAX_CHARS)
  })
  return tooMany === -1 ? line.length : tooMany
}

/** How many things travel in it. */
export function countOf({ sources, enqueues, mail }: Sending): number {
  return [...enqueues, ...mail].reduce((items, { what }) => items + many(what), sources.length)
}

const one = (): number => 1

const many = ({ items }: { readonly items: readonly unknown[] }): number => items.length

function sizeOfCommit(source: CommitSource): number {
  const { entries, transition } = source.take()
  const output = transition?.name === 'complete' ? transition.output.text.length : 0
  return entries.reduce((chars, { data }) => chars + data.length, output)
}

function sizeOfRuns({ items }: Enqueue): number {
  return items.reduce((chars, { payload }) => chars + payload.text.length, 0)
}

function sizeOfMail({ items }: Mail): number {
  return items.reduce((chars, { data }) => chars + data.text.length, 0)
}

export const nobody: Sending = { sources: [], enqueues: [], mail: [], claim: null }

export function eachAlone({ sources, enqueues, mail, claim }: Sending): Sending[] {
  return [
    ...sources.map((source) => ({ ...nobody, sources: [source] })),
    ...enqueues.map((enqueue) => ({ ...nobody, enqueues: [enqueue] })),
    ...mail.map((letter) => ({ ...nobody, mail: [letter] })),
    ...(claim === null ? [] : [{ ...nobody, claim }]),
  ]
}

export function together(parts: readonly Sending[]): Sending {
  return {
    sources: parts.flatMap(({ sources }) => sources),
    enqueues: parts.flatMap(({ enqueues }) => enqueues),
    mail: parts.flatMap(({ mail }) => mail),
    claim: null,
  }
}
