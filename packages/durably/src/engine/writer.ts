import { pause, type Env } from '../core/env.ts'
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
  board,
  countOf,
  dismissLate,
  eachAlone,
  isAnyReady,
  nobody,
  together,
  type Asked,
  type CommitSource,
  type Lines,
  type Sending,
  type Waiting,
} from './boarding.ts'
import { createPatience, type Patience } from './patience.ts'

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
  readonly backoff: Backoff
  readonly patience: Patience
  /** Takes back the timer for when the first of those who rest has rested. */
  cancelWake: (() => void) | null
}

export function createWriter(options: WriterOptions): Writer {
  const { env, leaseMs } = options
  const lines = { sources: [], enqueues: [], mail: [], claims: [] }
  const waits = { backoff: createBackoff(env), patience: createPatience(env) }
  const q: Queue = { ...options, ...lines, ...waits, underWay: false, cancelWake: null }
  return {
    commit(source) {
      const deadline = env.elapsed() + leaseMs
      const rest = createBackoff(env)
      q.sources.push({ what: source, deadline, hasFailed: false, rest, restUntil: 0 })
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
    const { deadline, failed, over } = q.patience.begin(items.length, reject)
    const what = {
      items,
      resolve(answers: readonly A[]) {
        over()
        resolve(answers)
      },
      reject(error: unknown) {
        over()
        reject(error)
      },
      failed,
    }
    line.push({ what, deadline, hasFailed: false })
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
  const now = q.env.elapsed()
  dismissLate(q, now)
  if (isAnyReady(q, now)) {
    const sending = board(q, now)
    try {
      await send(q, sending)
      q.backoff.reset()
    } catch (error) {
      await afterFailure(q, error, sending)
    }
  }
  q.underWay = false
  goOn(q)
}

function goOn(q: Queue): void {
  q.cancelWake?.()
  q.cancelWake = null
  const now = q.env.elapsed()
  if (isAnyReady(q, now)) return leaveSoon(q)
  q.patience.rest()
  const rested = q.sources.reduce((first, { restUntil }) => Math.min(first, restUntil), Infinity)
  if (rested < Infinity) q.cancelWake = q.env.after(rested - now, () => leaveSoon(q))
}

async function send(q: Queue, sending: Sending): Promise<void> {
  const { over } = q.patience.begin(countOf(sending), q.onError)
  try {
    await write(q, sending)
  } finally {
    over()
  }
}

async function write(q: Queue, sending: Sending): Promise<void> {
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
    if ([...sending.sources, ...sending.enqueues].some(hasFailed))
      return sendApart(q, error, sending)
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

/** If this many fail at first it is the database. */
const ENOUGH_FAILURES = 2

/**
 * It failed again, perhaps by one that the database will not take: nobody is to wait for that one. Each goes alone; a
 * commit that fails rests, a trigger comes last the next time.
 */
async function sendApart(q: Queue, error: unknown, all: Sending): Promise<void> {
  const parts = apart(all)
  const failed: Sending[] = []
  let taken = 0
  // There is nobody else whose failure it could be.
  if (parts.length === 1) failed.push(...parts.splice(0))
  while (taken > 0 || failed.length < ENOUGH_FAILURES) {
    const part = parts.shift()
    if (part === undefined) break
    try {
      await send(q, part)
      taken++
    } catch (reason) {
      if (reason instanceof RejectedWriteError) await afterFailure(q, reason, part)
      else failed.push(part)
    }
  }
  q.onError(error)
  if (taken > 0) q.backoff.reset()
  else if (!failed.every(isCommit) || parts.length > 0) await pause(q.env, q.backoff.next())
  putBack(q, together([...parts, ...failed.map((part) => rested(q, part))]), error)
}

/** Messages to one run are not to overtake each other. */
function apart({ sources, enqueues, mail }: Sending): Sending[] {
  return [
    ...eachAlone({ ...nobody, sources, enqueues }),
    ...(mail.length === 0 ? [] : [{ ...nobody, mail }]),
  ]
}

/** It rests by itself: others need not. */
function isCommit({ sources }: Sending): boolean {
  return sources.length > 0
}

function hasFailed(waiting: Waiting<unknown>): boolean {
  return waiting.hasFailed
}

/** With those that rest from now on. */
function rested({ env }: Queue, sending: Sending): Sending {
  const now = env.elapsed()
  const sources = sending.sources.map((source) => {
    return { ...source, restUntil: Math.min(now + source.rest.next(), source.deadline) }
  })
  return { ...sending, sources }
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
  const [lateMail, mail] = split(sending.mail, until)
  q.sources.unshift(...sources.map((source) => ({ ...source, hasFailed: true })))
  q.enqueues.unshift(...enqueues.map(again))
  q.mail.unshift(...mail)
  for (const { what } of [...enqueues, ...mail]) what.failed(error)
  for (const source of lateSources) source.answered('lost')
  for (const asked of [...lateEnqueues, ...lateMail]) asked.reject(error)
}

function again({ what, ...waiting }: Sending['enqueues'][number]): Sending['enqueues'][number] {
  const items = what.items.map((run) => ({ ...run, isSentAgain: true }))
  return { ...waiting, what: { ...what, items }, hasFailed: true }
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
function split<W extends Waiting<unknown>>(waiting: readonly W[], now: number): [W['what'][], W[]] {
  const late = waiting.filter(({ deadline }) => deadline <= now).map(({ what }) => what)
  return [late, waiting.filter(({ deadline }) => deadline > now)]
}
