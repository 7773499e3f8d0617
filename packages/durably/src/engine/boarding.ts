import type { Claim, ClaimRequest, Enqueued, NewRun, Send, Sent } from '../store/store.ts'
import type { CommitSource } from './writer.ts'

/** Something in line, and until when it is worth sending. */
export interface Waiting<T> {
  readonly what: T
  readonly deadline: number
  /** It was in a transaction that failed. */
  readonly hasFailed: boolean
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
  sources: Waiting<CommitSource>[]
  enqueues: Waiting<Enqueue>[]
  mail: Waiting<Mail>[]
  /** Of as many sessions; each transaction takes one along. */
  readonly claims: ClaimInLine[]
}

/** What travels in one transaction. */
export interface Sending {
  readonly sources: readonly Waiting<CommitSource>[]
  readonly enqueues: readonly Waiting<Enqueue>[]
  readonly mail: readonly Waiting<Mail>[]
  readonly claim: ClaimInLine | null
}

// A transaction that is too large holds everyone up, and a statement's parameter has a limit.
const MAX_SOURCES = 1000
const MAX_CHARS = 16_000_000
const MAX_RUNS = 10_000
const MAX_MESSAGES = 1000

/** Takes out of the lines those who were told already that nothing came of it. */
export function dismissLate({ enqueues, mail }: Lines, now: number): void {
  for (const line of [enqueues, mail]) {
    const isLate = ({ deadline }: Waiting<unknown>): boolean => deadline <= now
    const [first] = line
    if (first !== undefined && isLate(first)) line.splice(0, line.findLastIndex(isLate) + 1)
  }
}

/** Takes out of the lines what one transaction takes. */
export function board(lines: Lines): Sending {
  const { claims } = lines
  const sources = lines.sources.splice(0, thatFit(lines.sources, MAX_SOURCES, one, sizeOfCommit))
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

/** Two halves; one part if there is but one in it, none if there is nobody. */
export function halves(sending: Sending): Sending[] {
  const alone = eachAlone(sending)
  const middle = Math.ceil(alone.length / 2)
  return [alone.slice(0, middle), alone.slice(middle)].filter(isSome).map(together)
}

const isSome = ({ length }: readonly unknown[]): boolean => length > 0

function together(parts: readonly Sending[]): Sending {
  return {
    sources: parts.flatMap(({ sources }) => sources),
    enqueues: parts.flatMap(({ enqueues }) => enqueues),
    mail: parts.flatMap(({ mail }) => mail),
    claim: null,
  }
}

/** Those whose time is over, and the others; of what was asked, by a time of its own. A claim has all the time. */
export function part(
  { sources, enqueues, mail, claim }: Sending,
  now: number,
  askedNow: number = now,
): [Sending, Sending] {
  const [lateSources, otherSources] = split(sources, now)
  const [lateEnqueues, otherEnqueues] = split(enqueues, askedNow)
  const [lateMail, otherMail] = split(mail, askedNow)
  return [
    { sources: lateSources, enqueues: lateEnqueues, mail: lateMail, claim: null },
    { sources: otherSources, enqueues: otherEnqueues, mail: otherMail, claim },
  ]
}

function split<T>(waiting: readonly Waiting<T>[], now: number): [Waiting<T>[], Waiting<T>[]] {
  const isLate = ({ deadline }: Waiting<T>): boolean => deadline <= now
  return [waiting.filter(isLate), waiting.filter((one) => !isLate(one))]
}
