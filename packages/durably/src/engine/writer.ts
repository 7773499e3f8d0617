import type { Env } from '../core/env.ts'
import { DurablyError } from '../core/error.ts'
import type { RunRecord } from '../core/run.ts'
import {
  RejectedWriteError,
  UnusableStoreError,
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
import {
  apart,
  areCommits,
  board,
  countOf,
  isAnyInLine,
  isOne,
  nobody,
  stillAwaited,
  together,
  type Asked,
  type CommitSource,
  type Lines,
  type Sending,
} from './boarding.ts'
import { REACTIONS } from './deliveries.ts'
import { createPatience, type Patience } from './patience.ts'
import { createSuspects, type Suspect, type Suspects } from './suspects.ts'

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

interface Queue extends WriterOptions, Lines {
  underWay: boolean
  readonly patience: Patience
  /** What failed: the lines have what did not. */
  readonly suspects: Suspects
  /** How long the lines rest while the database is away. */
  readonly backoff: Backoff
  restUntil: number
  /** Takes back the timer for when the first of those who rest has rested. */
  cancelWake: (() => void) | null
}

export function createWriter(options: WriterOptions): Writer {
  const { env, leaseMs } = options
  const lines = { sources: [], enqueues: [], mail: [], claims: [] }
  const rests = { suspects: createSuspects(env), backoff: createBackoff(env), restUntil: 0 }
  const patience = createPatience(env)
  const q: Queue = { ...options, ...lines, ...rests, patience, underWay: false, cancelWake: null }
  return {
    commit(source) {
      q.sources.push({ source, deadline: env.elapsed() + leaseMs })
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

function ask<T, A>(q: Queue, line: Asked<T, A>[], items: readonly T[]): Promise<readonly A[]> {
  return new Promise((resolve, reject) => {
    line.push({ items, resolve, reject, wait: q.patience.begin(items.length, reject) })
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
  const turnEndsAt = q.env.elapsed() + TURN_MS
  for (let writes = 0; writes < MOST_IN_A_TURN; writes++) {
    const runs = await sendNext(q)
    if (runs === 0 || !(await areBack(q, runs)) || q.env.elapsed() >= turnEndsAt) break
  }
  q.underWay = false
  goOn(q)
}

/** Whoever else the process serves gets its turn after so long, whatever the clock says. */
const TURN_MS = 2
const MOST_IN_A_TURN = 16

/**
 * Whether so many runs that were answered are back at once. Then there is nobody to wait for, and a turn of the event
 * loop costs a fifth of what a step adds to its commit. Each has its reactions to the answer first, as it will on replay.
 */
async function areBack({ sources }: Queue, runs: number): Promise<boolean> {
  for (let i = 0; i <= REACTIONS; i++) await nothing
  return sources.length >= runs
}

const nothing = Promise.resolve()

/**
 * What has not failed yet, with a claim; then of what has, what goes next. Answers how many commits were written, if
 * nothing else was.
 */
async function sendNext(q: Queue): Promise<number> {
  q.enqueues = stillAwaited(q.enqueues)
  q.mail = stillAwaited(q.mail)
  q.suspects.keepBehind(q)
  const isTime = isAnyInLine(q) && q.restUntil <= q.env.elapsed()
  const commits = isTime ? await sendLines(q, board(q)) : 0
  q.suspects.dismissLate()
  const suspects = q.suspects.board()
  if (suspects.length === 0) return commits
  await sendSuspects(q, suspects)
  return 0
}

function goOn(q: Queue): void {
  q.cancelWake?.()
  q.cancelWake = null
  const nextAt = Math.min(isAnyInLine(q) ? q.restUntil : Infinity, q.suspects.nextAt())
  const ms = nextAt - q.env.elapsed()
  if (ms <= 0) return leaveSoon(q)
  q.patience.rest()
  if (ms < Infinity) q.cancelWake = q.env.after(ms, () => leaveSoon(q))
}

async function sendLines(q: Queue, sending: Sending): Promise<number> {
  try {
    await send(q, sending)
    arrived(q)
    return areCommits(sending) ? sending.sources.length : 0
  } catch (error) {
    setApart(q, error, sending)
    return 0
  }
}

/** What failed goes apart, unless it is known whose fault that was. */
function setApart(q: Queue, error: unknown, sending: Sending): void {
  const isRefused = error instanceof RejectedWriteError
  if (isRefused && isOne(sending)) return refuse(sending, error)
  // Refused is refused: nothing was claimed, and may be still.
  if (isRefused && sending.claim !== null) q.claims.unshift(sending.claim)
  else sending.claim?.reject(error)
  const isAway = !isRefused && !(error instanceof UnusableStoreError)
  if (isAway) q.restUntil = q.env.elapsed() + q.backoff.next()
  q.suspects.add(apart(goOnWaiting(q, error, sending)))
}

async function sendSuspects(q: Queue, suspects: readonly Suspect[]): Promise<void> {
  const sentAt = q.env.elapsed()
  const sending = together(suspects.map((suspect) => suspect.sending))
  try {
    await send(q, sending)
    arrived(q)
    q.suspects.passed()
  } catch (error) {
    const [alone] = suspects.length === 1 ? suspects : []
    if (error instanceof RejectedWriteError && alone !== undefined) {
      if (!isOne(sending)) return sendLetters(q, alone)
      refuse(sending, error)
      return q.suspects.passed()
    }
    for (const suspect of suspects) suspect.sending = goOnWaiting(q, error, suspect.sending)
    q.suspects.failed(suspects, q.env.elapsed() - sentAt)
  }
}

/** Of the messages to one run that were refused together each goes alone, in their order: only the offender fails. */
async function sendLetters(q: Queue, suspect: Suspect): Promise<void> {
  const letters = suspect.sending.mail
  while (letters.length > 0) {
    const sending = { ...nobody, mail: stillAwaited(letters.slice(0, 1)) }
    try {
      if (sending.mail.length > 0) await send(q, sending)
    } catch (error) {
      if (!(error instanceof RejectedWriteError)) {
        suspect.sending = goOnWaiting(q, error, { ...nobody, mail: letters })
        return q.suspects.failed([suspect], 0)
      }
      refuse(sending, error)
    }
    letters.shift()
  }
  q.suspects.passed()
}

/** The database takes something: it is not away. */
function arrived(q: Queue): void {
  q.backoff.reset()
  q.restUntil = 0
}

/** The database will never take it. */
function refuse({ sources, enqueues, mail, claim }: Sending, error: RejectedWriteError): void {
  for (const { source } of sources) source.rejected(error)
  for (const { wait, reject } of [...enqueues, ...mail]) {
    wait.over()
    reject(error)
  }
  claim?.reject(error)
}

/** Those who wait on, for it to be sent again, by when it may have been done already; the others are told. */
function goOnWaiting(q: Queue, error: unknown, sending: Sending): Sending {
  const isRefused = error instanceof RejectedWriteError
  // Who asked need not wait for what cannot come, and nobody for an instance that was closed.
  const isVain = error instanceof UnusableStoreError
  const now = q.env.elapsed()
  const isLate = ({ deadline }: { readonly deadline: number }): boolean =>
    !isRefused && (isVain || deadline <= now)
  const { sources, enqueues, mail } = sending
  for (const { source } of sources.filter(isLate)) source.answered('lost')
  for (const { wait, reject } of [...enqueues, ...mail]) {
    wait.failed(error)
    if (!isLate(wait)) continue
    if (!wait.isOver()) reject(error)
    wait.over()
  }
  if (!isRefused && !(isVain && sources.length === 0)) q.onError(error)
  return {
    sources: sources.filter((source) => !isLate(source)),
    enqueues: stillAwaited(enqueues).map((enqueue) => (isRefused ? enqueue : again(enqueue))),
    mail: stillAwaited(mail),
    claim: null,
  }
}

function again(enqueue: Sending['enqueues'][number]): Sending['enqueues'][number] {
  return { ...enqueue, items: enqueue.items.map((run) => ({ ...run, isSentAgain: true })) }
}

/** Rejects when it failed, or when there is no answer: it may be written nevertheless, now or later. */
async function send(q: Queue, sending: Sending): Promise<void> {
  const { sources, enqueues, mail, claim } = sending
  for (const { wait } of enqueues) wait.sent()
  for (const { wait } of mail) wait.sent()
  const batch = {
    commits: sources.map(({ source }) => source.take()),
    runs: enqueues.flatMap(({ items }) => items),
    sends: mail.flatMap(({ items }) => items),
    claim: claim?.request ?? null,
  }
  const written = await unlessGivenUp(q, countOf(sending), q.store.write(batch, q.env.now()))
  q.onWritten(factsOf(sending, batch.commits, written))
  answer(sending, written)
}

/** So long after it was said that there is no answer, none is expected: the connection may be dead. */
const GIVE_UP_MS = 10_000

const GIVEN_UP =
  'The database still has not answered: what was to be written is sent again, by another connection if there is one'

/** What comes of a write of so many items, unless it is not answered for so long that it is given up. */
function unlessGivenUp<T>(q: Queue, items: number, write: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let cancel = (): void => {}
    const { over } = q.patience.begin(items, (error) => {
      q.onError(error)
      cancel = q.env.after(GIVE_UP_MS, () => reject(new DurablyError('store', GIVEN_UP)))
    })
    write.then(resolve, reject).finally(() => {
      over()
      cancel()
    })
  })
}

/** What is true now, in the order in which it was written. */
function factsOf(sending: Sending, commits: readonly Commit[], written: Written): Fact[] {
  const facts: Fact[] = []
  sending.sources.forEach(({ source }, i) => {
    const commit = commits[i]
    if (commit !== undefined && written.commits[i] === 'committed') {
      addFacts(facts, commit, source.run())
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

function answer({ sources, enqueues, mail, claim }: Sending, written: Written): void {
  resolveAll(enqueues, written.runs)
  resolveAll(mail, written.sends)
  claim?.resolve(written.claimed)
  sources.forEach(({ source }, i) => source.answered(written.commits[i] ?? 'lost'))
}

/** Gives each its part of the answers. */
function resolveAll<T, A>(line: readonly Asked<T, A>[], answers: readonly A[]): void {
  let at = 0
  for (const { items, wait, resolve } of line) {
    wait.over()
    resolve(answers.slice(at, at + items.length))
    at += items.length
  }
}
