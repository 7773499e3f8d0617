import { pause, type Env } from '../core/env.ts'
import type { RunRecord } from '../core/run.ts'
import {
  RejectedWriteError,
  type Answer,
  type Claim,
  type ClaimRequest,
  type Commit,
  type Enqueued,
  type Fact,
  type NewRun,
  type Store,
  type Written,
} from '../store/store.ts'
import { createBackoff, type Backoff } from './backoff.ts'

/**
 * Someone who has something to commit. It is asked for it when the batch leaves, so that it can put into it
 * what came up meanwhile; asked again after an error, it must give the same commit again.
 */
export interface CommitSource {
  readonly run: RunRecord
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

interface Enqueue {
  readonly runs: readonly NewRun[]
  readonly resolve: (enqueued: readonly Enqueued[]) => void
  readonly reject: (error: unknown) => void
}

interface ClaimInLine {
  readonly request: ClaimRequest
  readonly resolve: (claimed: readonly Claim[]) => void
  readonly reject: (error: unknown) => void
}

interface Sending {
  readonly sources: readonly Waiting<CommitSource>[]
  readonly enqueues: readonly Waiting<Enqueue>[]
  readonly claim: ClaimInLine | null
}

// A transaction that is too large holds everyone up, and a statement's parameter has a limit.
const MAX_SOURCES = 1000
const MAX_RUNS = 10_000
const ENQUEUE_PATIENCE_MS = 5000

interface Queue extends WriterOptions {
  sources: Waiting<CommitSource>[]
  enqueues: Waiting<Enqueue>[]
  /** Of as many sessions; each transaction takes one along. */
  readonly claims: ClaimInLine[]
  underWay: boolean
  readonly backoff: Backoff
}

export function createWriter(options: WriterOptions): Writer {
  const { env, leaseMs } = options
  const backoff = createBackoff(env)
  const q: Queue = { ...options, sources: [], enqueues: [], claims: [], underWay: false, backoff }
  return {
    commit(source) {
      q.sources.push({ what: source, deadline: env.now() + leaseMs })
      leaveSoon(q)
    },
    enqueue: (runs) =>
      new Promise((resolve, reject) => {
        const deadline = env.now() + ENQUEUE_PATIENCE_MS
        q.enqueues.push({ what: { runs, resolve, reject }, deadline })
        leaveSoon(q)
      }),
    claim: (request) =>
      new Promise((resolve, reject) => {
        q.claims.push({ request, resolve, reject })
        leaveSoon(q)
      }),
  }
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
  if (q.sources.length + q.enqueues.length + q.claims.length > 0) leaveSoon(q)
}

function board(q: Queue): Sending {
  const sources = q.sources.splice(0, MAX_SOURCES)
  const enqueues = q.enqueues.splice(0, enqueuesThatFit(q.enqueues))
  return { sources, enqueues, claim: q.claims.shift() ?? null }
}

function enqueuesThatFit(enqueues: readonly Waiting<Enqueue>[]): number {
  let runs = 0
  const tooMany = enqueues.findIndex(({ what }, i) => {
    runs += what.runs.length
    return i > 0 && runs > MAX_RUNS
  })
  return tooMany === -1 ? enqueues.length : tooMany
}

async function send(q: Queue, sending: Sending): Promise<void> {
  const commits = sending.sources.map(({ what }) => what.take())
  const runs = sending.enqueues.flatMap(({ what }) => what.runs)
  const request = sending.claim?.request ?? null
  const written = await q.store.write({ commits, runs, sends: [], claim: request }, q.env.now())
  q.onWritten(factsOf(sending, commits, written))
  answer(sending, written)
}

/** What is true now, in the order in which it was written. */
function factsOf(sending: Sending, commits: readonly Commit[], written: Written): Fact[] {
  const facts: Fact[] = []
  sending.sources.forEach(({ what: { run } }, i) => {
    const commit = commits[i]
    if (commit !== undefined && written.commits[i] === 'committed') addFacts(facts, commit, run)
  })
  facts.push(...written.woken)
  for (const { run, entry } of written.runs) {
    if (entry !== null) facts.push({ run, entry })
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
    q.onError(error)
    await pause(q.env, q.backoff.next())
    return putBack(q, sending, error)
  }
  const alone = eachAlone(sending)
  if (alone.length > 1) return sendOneByOne(q, alone)
  for (const { what } of sending.sources) what.rejected(error)
  for (const { what } of sending.enqueues) what.reject(error)
  sending.claim?.reject(error)
}

function eachAlone({ sources, enqueues, claim }: Sending): Sending[] {
  const empty: Sending = { sources: [], enqueues: [], claim: null }
  return [
    ...sources.map((source) => ({ ...empty, sources: [source] })),
    ...enqueues.map((enqueue) => ({ ...empty, enqueues: [enqueue] })),
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

function putBack(q: Queue, sending: Sending, error: unknown): void {
  const now = q.env.now()
  const [lateSources, sources] = split(sending.sources, now)
  const [lateEnqueues, enqueues] = split(sending.enqueues, now)
  q.sources.unshift(...sources)
  q.enqueues.unshift(...enqueues)
  for (const source of lateSources) source.answered('lost')
  for (const enqueue of lateEnqueues) enqueue.reject(error)
}

function answer(sending: Sending, written: Written): void {
  let at = 0
  for (const { what } of sending.enqueues) {
    what.resolve(written.runs.slice(at, at + what.runs.length))
    at += what.runs.length
  }
  sending.claim?.resolve(written.claimed)
  sending.sources.forEach(({ what }, i) => {
    what.answered(written.commits[i] ?? 'lost')
  })
}

/** Those whose time is over, and the others. */
function split<T>(waiting: readonly Waiting<T>[], now: number): [T[], Waiting<T>[]] {
  const late = waiting.filter(({ deadline }) => deadline <= now).map(({ what }) => what)
  return [late, waiting.filter(({ deadline }) => deadline > now)]
}
