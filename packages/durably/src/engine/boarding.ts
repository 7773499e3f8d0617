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
import type { Wait } from './patience.ts'

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

/** A commit in line, and until when it is worth sending. */
interface CommitInLine {
  readonly source: CommitSource
  readonly deadline: number
}

/** What a caller wants written, all in one transaction, and waits for. */
export interface Asked<T, A> {
  readonly items: readonly T[]
  readonly resolve: (answers: readonly A[]) => void
  readonly reject: (error: unknown) => void
  readonly wait: Wait
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
  sources: CommitInLine[]
  enqueues: Enqueue[]
  mail: Mail[]
  /** Of as many sessions; each transaction takes one along. */
  readonly claims: ClaimInLine[]
}

/** What travels in one transaction. */
export interface Sending {
  readonly sources: CommitInLine[]
  readonly enqueues: Enqueue[]
  readonly mail: Mail[]
  readonly claim: ClaimInLine | null
}

// A transaction that is too large holds everyone up, and a statement's parameter has a limit.
const MAX_SOURCES = 1000
export const MAX_CHARS = 16_000_000
const MAX_RUNS = 10_000
const MAX_MESSAGES = 1000

export function isAnyInLine({ sources, enqueues, mail, claims }: Lines): boolean {
  return sources.length + enqueues.length + mail.length + claims.length > 0
}

/** Takes out of the lines what one transaction takes. */
export function board(lines: Lines): Sending {
  const { sources, enqueues, mail, claims } = lines
  return {
    sources: sources.splice(0, thatFit(sources, MAX_SOURCES, one, sizeOfCommit)),
    enqueues: enqueues.splice(0, thatFit(enqueues, MAX_RUNS, many, sizeOfRuns)),
    mail: mail.splice(0, thatFit(mail, MAX_MESSAGES, many, sizeOfMail)),
    claim: claims.shift() ?? null,
  }
}

/** How many of the line one transaction takes: at least the first, and no more than a bounded number and size. */
function thatFit<T>(
  line: readonly T[],
  most: number,
  count: (what: T) => number,
  size: (what: T) => number,
): number {
  let items = 0
  let chars = 0
  const tooMany = line.findIndex((what, i) => {
    items += count(what)
    chars += size(what)
    return i > 0 && (items > most || chars > MAX_CHARS)
  })
  return tooMany === -1 ? line.length : tooMany
}

/** Without those who were told already that it took too long: what they asked for must not come after that. */
export function stillAwaited<T extends { readonly wait: Wait }>(line: T[]): T[] {
  const isAwaited = ({ wait }: T): boolean => !wait.isOver()
  return line.every(isAwaited) ? line : line.filter(isAwaited)
}

/** How many things travel in it. */
export function countOf({ sources, enqueues, mail }: Sending): number {
  return [...enqueues, ...mail].reduce((items, asked) => items + many(asked), sources.length)
}

/** How large it is. */
export function sizeOf({ sources, enqueues, mail }: Sending): number {
  return sum(sources, sizeOfCommit) + sum(enqueues, sizeOfRuns) + sum(mail, sizeOfMail)
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}

const one = (): number => 1

const many = ({ items }: { readonly items: readonly unknown[] }): number => items.length

function sizeOfCommit({ source }: CommitInLine): number {
  const { entries, transition } = source.take()
  const output = transition?.name === 'complete' ? transition.output.text.length : 0
  return entries.reduce((chars, { data }) => chars + data.length, output)
}

function sizeOfRuns({ items }: Enqueue): number {
  return sum(items, ({ payload }) => payload.text.length)
}

function sizeOfMail({ items }: Mail): number {
  return sum(items, ({ data }) => data.text.length)
}

export const nobody: Sending = { sources: [], enqueues: [], mail: [], claim: null }

/** Whether nothing else travels in it whose fault it could be. */
export function isOne({ sources, enqueues, mail, claim }: Sending): boolean {
  return sources.length + enqueues.length + mail.length + (claim === null ? 0 : 1) === 1
}

/** Whether nothing but runs that go on travel in it. */
export function areCommits({ enqueues, mail, claim }: Sending): boolean {
  return enqueues.length + mail.length === 0 && claim === null
}

/** Each by itself; messages to one run are not to overtake each other. */
export function apart({ sources, enqueues, mail }: Sending): Sending[] {
  const byRun = Map.groupBy(mail, recipientOf)
  return [
    ...sources.map((source) => ({ ...nobody, sources: [source] })),
    ...enqueues.map((enqueue) => ({ ...nobody, enqueues: [enqueue] })),
    ...[...byRun.values()].map((letters) => ({ ...nobody, mail: letters })),
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

export function recipientOf({ items }: Mail): string | undefined {
  const to = items[0]?.to
  if (to === undefined) return undefined
  return 'runId' in to ? to.runId : to.tokenHash
}
