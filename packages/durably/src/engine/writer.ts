import { pause, type Env } from '../core/env.ts'
import type { RunRecord } from '../core/run.ts'
import {
  RejectedWriteError,
  UnusableStoreError,
  type Answer,
  type Claim,
  type ClaimRequest,
  type Commit,
  type Enqueued,
  type Fact,
  type NewRun,
  type Send,
  type Sent,
  type Store,
  type Written,
} from '../store/store.ts'
import { createBackoff, type Backoff } from './backoff.ts'

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

/** The group commit: all writes of a process, one transaction at a time. */
export interface Writer {
  /** Puts the source in line. It may stand there once at a time. */
  commit(source: CommitSource): void
  /** Rejects when the database did not take them for as long as a caller can be kept waiting. */
  enqueue(runs: readonly NewRun[]): Promise<readonly Enqueued[]>
  /** The same of messages. */
  send(messages: readonly Send[]): Promise<readonly Sent[]>
  /** Rejects when it is not known what was claimed: the next renewal tells. */
  claim(request: ClaimRequest): Promise<readonly Claim[]>
}

export interface WriterOptions {
  readonly store: Store
  readonly env: Env
  /** How long a commit is sent again and again before its lease counts as lost. */
  readonly leaseMs: number
  /** What was written, in the order in which it was written, before anyone is answered. */
  readonly onWritten: (facts: readonly Fact[]) => void
  readonly onError: (error: unknown) => void
}

/** Something in line, and until when it is worth sending. */
interface Waiting<T> {
  readonly what: T
  readonly deadline: number
}

/** What a caller wants written, all in one transaction, and waits for. */
interface Asked<T, A> {
  readonly items: readonly T[]
  readonly resolve: (answers: readonly A[]) => void
  readonly reject: (error: unknown) => void
}

type Enqueue = Asked<NewRun, Enqueued>
type Mail = Asked<Send, Sent>

interface ClaimInLine {
  readonly request: ClaimRequest
  readonly resolve: (claimed: readonly Claim[]) => void
  readonly reject: (error: unknown) => void
}

interface Sending {
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
const PATIENCE_MS = 5000

interface Queue extends WriterOptions {
  sources: Waiting<CommitSource>[]
  enqueues: Waiting<Enqueue>[]
  mail: Waiting<Mail>[]
  /** Of as many sessions; each transaction takes one along. */
  readonly claims: ClaimInLine[]
  underWay: boolean
  readonly backoff: Backoff
}

export function createWriter(options: WriterOptions): Writer {
  const { env, leaseMs } = options
  const backoff = createBackoff(env)
  const lines = { sources: [], enqueues: [], mail: [], claims: [] }
  const q: Queue = { ...options, ...lines, underWay: false, backoff }
  return {
    commit(source) {
      q.sources.push({ what: source, deadline: env.elapsed() + leaseMs })
      leaveSoon(q)
    },
    enqueue: (items) => ask(q, q.enqueues, items),
    send: (items) => ask(q, q.mail, items),
    claim: (request) =>
      new Promise((resolve, reject) => {
        q.claims.push({ request, resolve, reject })
        leaveSoon(q)
      }),
  }
}

function ask<T, A>(
  q: Queue,
  line: Waiting<Asked<T, A>>[],
  items: readonly T[],
): Promise<readonly A[]> {
  return new Promise((resolve, reject) => {
    line.push({ what: { items, resolve, reject }, deadline: q.env.elapsed() + PATIENCE_MS })
    leaveSoon(q)
  })
}

/** One turn later, so that all that is ready now travels together, and the process stays responsive. */
function leaveSoon(q: Queue): void {
  if (q.underWay) return
  q.underWay = true
  q.env.turn(() => void leave(q))
}

async function leave(q: Queue): Promise<void> {
  const sending = board(q)
  try {
    await send(q, sending)
    q.backoff.reset()
  } catch (error) {
    await afterFailure(q, error, sending)
  }
  q.underWay = false
  if (q.sources.length + q.enqueues.length + q.mail.length + q.claims.length > 0) leaveSoon(q)
}

function board(q: Queue): Sending {
  const sources = q.sources.splice(0, thatFit(q.sources, MAX_SOURCES, one, sizeOfCommit))
  const enqueues = q.enqueues.splice(0, thatFit(q.enqueues, MAX_RUNS, many, sizeOfRuns))
  const mail = q.mail.splice(0, thatFit(q.mail, MAX_MESSAGES, many, sizeOfMail))
  return { sources, enqueues, mail, claim: q.claims.shift() ?? null }
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

async function send(q: Queue, sending: Sending): Promise<void> {
  const commits = sending.sources.map(({ what }) => what.take())
  const runs = sending.enqueues.flatMap(({ what }) => what.items)
  const sends = sending.mail.flatMap(({ what }) => what.items)
  const claim = sending.claim?.request ?? null
  const written = await q.store.write({ commits, runs, sends, claim }, q.env.now())
  q.onWritten(factsOf(sending, commits, written))
  answer(sending, written)
}

/** What is true now, in the order in which it was written. */
function factsOf(sending: Sending, commits: readonly Commit[], written: Written): Fact[] {
  const facts: Fact[] = []
  sending.sources.forEach(({ what }, i) => {
    const commit = commits[i]
    if (commit !== undefined && written.commits[i] === 'committed') {
      addFacts(facts, commit, what.run())
    }
  })
  facts.push(...written.woken)
  for (const { run, entry } of written.runs) {
    if (entry !== null) facts.push({ run, entry })
  }
  for (const sent of written.sends) {
    if (sent.done && sent.entry !== null) facts.push({ run: sent.run, entry: sent.entry })
  }
  facts.push(...written.claimed)
  return facts
}

function addFacts(facts: Fact[], { lease, entries, transition }: Commit, record: RunRecord): void {
  const run = transition?.name === 'complete' ? { ...record, output: transition.output } : record
  const { runId, generation } = lease
  for (const { seq, kind, name, at, data } of entries) {
    facts.push({ run, entry: { runId, seq, generation, kind, name, at, data } })
  }
}

/** Refused: each is sent alone. No answer: sent again later, by when it may have been done already. */
async function afterFailure(q: Queue, error: unknown, sending: Sending): Promise<void> {
  if (!(error instanceof RejectedWriteError)) {
    sending.claim?.reject(error)
    if (!isHeardByAll(error, sending)) {
      q.onError(error)
      await pause(q.env, q.backoff.next())
    }
    return putBack(q, sending, error)
  }
  const alone = eachAlone(sending)
  if (alone.length > 1) return sendOneByOne(q, alone)
  for (const { what } of sending.sources) what.rejected(error)
  for (const { what } of [...sending.enqueues, ...sending.mail]) what.reject(error)
  sending.claim?.reject(error)
}

function eachAlone({ sources, enqueues, mail, claim }: Sending): Sending[] {
  const empty: Sending = { sources: [], enqueues: [], mail: [], claim: null }
  return [
    ...sources.map((source) => ({ ...empty, sources: [source] })),
    ...enqueues.map((enqueue) => ({ ...empty, enqueues: [enqueue] })),
    ...mail.map((one) => ({ ...empty, mail: [one] })),
    ...(claim === null ? [] : [{ ...empty, claim }]),
  ]
}

/** So that only the offender fails. */
async function sendOneByOne(q: Queue, all: readonly Sending[]): Promise<void> {
  for (const sending of all) {
    try {
      await send(q, sending)
    } catch (error) {
      await afterFailure(q, error, sending)
    }
  }
}

/** Whether whoever asked is told at once, and nobody is left who would send it again. */
function isHeardByAll(error: unknown, { sources }: Sending): boolean {
  return error instanceof UnusableStoreError && sources.length === 0
}

function putBack(q: Queue, sending: Sending, error: unknown): void {
  const now = q.env.elapsed()
  // Who asked need not wait for what cannot come.
  const until = error instanceof UnusableStoreError ? Number.POSITIVE_INFINITY : now
  const [lateSources, sources] = split(sending.sources, now)
  const [lateEnqueues, enqueues] = split(sending.enqueues, until)
  q.sources.unshift(...sources)
  const [lateMail, mail] = split(sending.mail, until)
  q.enqueues.unshift(...enqueues.map(again))
  q.mail.unshift(...mail)
  for (const source of lateSources) source.answered('lost')
  for (const asked of [...lateEnqueues, ...lateMail]) asked.reject(error)
}

function again({ what, deadline }: Waiting<Enqueue>): Waiting<Enqueue> {
  const items = what.items.map((run) => ({ ...run, isSentAgain: true }))
  return { what: { ...what, items }, deadline }
}

function answer(sending: Sending, written: Written): void {
  resolveAll(sending.enqueues, written.runs)
  resolveAll(sending.mail, written.sends)
  sending.claim?.resolve(written.claimed)
  sending.sources.forEach(({ what }, i) => {
    what.answered(written.commits[i] ?? 'lost')
  })
}

/** Gives each its part of the answers. */
function resolveAll<T, A>(line: readonly Waiting<Asked<T, A>>[], answers: readonly A[]): void {
  let at = 0
  for (const { what } of line) {
    what.resolve(answers.slice(at, at + what.items.length))
    at += what.items.length
  }
}

/** Those whose time is over, and the others. */
function split<T>(waiting: readonly Waiting<T>[], now: number): [T[], Waiting<T>[]] {
  const late = waiting.filter(({ deadline }) => deadline <= now).map(({ what }) => what)
  return [late, waiting.filter(({ deadline }) => deadline > now)]
}
