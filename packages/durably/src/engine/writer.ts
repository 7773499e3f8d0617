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
import { createBlame, type Blame } from './blame.ts'
import { createBackoff, type Backoff } from './backoff.ts'
import {
  board,
  dismissLate,
  eachAlone,
  part,
  type Asked,
  type Lines,
  type Sending,
  type Waiting,
} from './boarding.ts'
import { createPatience, type Patience } from './patience.ts'
import { createSuspects, type Suspect, type Suspects } from './suspects.ts'

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
  /** Before the commit counts as refused: it fails so often while others are taken, under one lease or several. */
  readonly maxCrashes: number
  /** What was written, in the order in which it was written, before anyone is answered. */
  readonly onWritten: (facts: readonly Fact[]) => void
  readonly onError: (error: unknown) => void
}

interface Queue extends WriterOptions, Lines {
  underWay: boolean
  readonly backoff: Backoff
  readonly suspects: Suspects
  readonly blame: Blame
  readonly patience: Patience
  /** Suspects left last: now it is the others' turn. */
  isOthersTurn: boolean
  /** Takes back the timer for when suspects have rested. */
  cancelWake: (() => void) | null
}

export function createWriter(options: WriterOptions): Writer {
  const { env, leaseMs } = options
  const q: Queue = {
    ...options,
    sources: [],
    enqueues: [],
    mail: [],
    claims: [],
    underWay: false,
    backoff: createBackoff(env),
    suspects: createSuspects(env),
    blame: createBlame(options.maxCrashes),
    patience: createPatience(env),
    isOthersTurn: true,
    cancelWake: null,
  }
  return {
    commit(source) {
      q.sources.push({ what: source, deadline: env.elapsed() + leaseMs, hasFailed: false })
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
    const { deadline, failed, over } = q.patience.begin(reject)
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
  const suspect = q.isOthersTurn && hasLine(q) ? null : q.suspects.take()
  q.isOthersTurn = suspect !== null
  if (suspect !== null || hasLine(q)) await attempt(q, suspect?.sending ?? board(q), suspect, now)
  q.underWay = false
  goOn(q)
}

async function attempt(
  q: Queue,
  sending: Sending,
  suspect: Suspect | null,
  startedAt: number,
): Promise<void> {
  const { over } = q.patience.begin(q.onError)
  try {
    await send(q, sending)
    over()
    q.backoff.reset()
    q.suspects.relieve()
  } catch (error) {
    over()
    await afterFailure(q, { error, sending, suspect, tookMs: q.env.elapsed() - startedAt })
  }
}

function hasLine({ sources, enqueues, mail, claims }: Queue): boolean {
  return sources.length + enqueues.length + mail.length + claims.length > 0
}

function goOn(q: Queue): void {
  q.cancelWake?.()
  q.cancelWake = null
  if (hasLine(q)) return leaveSoon(q)
  q.patience.rest()
  const dueAt = q.suspects.dueAt()
  if (dueAt === Infinity) return
  q.cancelWake = q.env.after(Math.max(0, dueAt - q.env.elapsed()), () => leaveSoon(q))
}

async function send(q: Queue, sending: Sending): Promise<void> {
  const commits = sending.sources.map(({ what }) => what.take())
  const runs = sending.enqueues.flatMap(({ what }) => what.items)
  const sends = sending.mail.flatMap(({ what }) => what.items)
  const claim = sending.claim?.request ?? null
  const written = await q.store.write({ commits, runs, sends, claim }, q.env.now())
  const facts = factsOf(sending, commits, written)
  if (facts.length > 0) q.blame.taken(commits)
  q.onWritten(facts)
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

interface Failure {
  readonly error: unknown
  readonly sending: Sending
  readonly suspect: Suspect | null
  readonly tookMs: number
}

/** Refused: each is sent alone. No answer: sent again later, by when it may have been done already. */
async function afterFailure(q: Queue, failure: Failure): Promise<void> {
  const { error, sending, suspect } = failure
  if (!(error instanceof RejectedWriteError)) {
    for (const { what } of [...sending.enqueues, ...sending.mail]) what.failed(error)
    sending.claim?.reject(error)
    const isHeard = isHeardByAll(error, sending)
    if (!isHeard) q.onError(error)
    // Suspects rest by themselves: nobody stands behind them.
    if (!isHeard && suspect === null) await pause(q.env, q.backoff.next())
    return putBack(q, failure)
  }
  const alone = eachAlone(sending)
  if (alone.length > 1) return q.suspects.add(alone)
  for (const { what } of sending.sources) what.rejected(error)
  for (const { what } of [...sending.enqueues, ...sending.mail]) what.reject(error)
  sending.claim?.reject(error)
}

/** Whether whoever asked is told at once, and nobody is left who would send it again. */
function isHeardByAll(error: unknown, { sources }: Sending): boolean {
  return error instanceof UnusableStoreError && sources.length === 0
}

/** The run is for another worker, if not for this one, to go on with; unless none can. */
function giveUp({ blame, leaseMs }: Queue, source: CommitSource, error: unknown): void {
  if (!blame.isGuilty(source.run().id)) return source.answered('lost')
  const message = error instanceof Error ? error.message : String(error)
  const text = `The database did not take the write for ${leaseMs} ms, while it took others: ${message}`
  source.rejected(new RejectedWriteError(text, { cause: error }))
}

/** What failed for the first time may not have been to blame: it stays in line. */
function putBack(q: Queue, { error, sending, suspect, tookMs }: Failure): void {
  const now = q.env.elapsed()
  const [one, ...others] = eachAlone(sending)
  const loner = others.length === 0 ? one?.sources[0] : undefined
  if (loner !== undefined) q.blame.failed(loner.what.run().id)
  // Who asked need not wait for what cannot come.
  const until = error instanceof UnusableStoreError ? Number.POSITIVE_INFINITY : now
  const [late, left] = part(sending, now, until)
  for (const { sources, enqueues, mail } of [late, ...q.suspects.dropLate(now)]) {
    for (const { what } of sources) giveUp(q, what, error)
    for (const { what } of [...enqueues, ...mail]) what.reject(error)
  }
  const [again, first] = byFailure(left)
  q.suspects.addFailed(again, tookMs, suspect)
  q.sources.unshift(...first.sources)
  q.enqueues.unshift(...first.enqueues)
  q.mail.unshift(...first.mail)
}

/** Those that had failed before, and those that have now. */
function byFailure({ sources, enqueues, mail }: Sending): [Sending, Sending] {
  const had = ({ hasFailed }: Waiting<unknown>): boolean => hasFailed
  const hadNot = ({ hasFailed }: Waiting<unknown>): boolean => !hasFailed
  const claim = null
  return [
    { sources: sources.filter(had), enqueues: enqueues.filter(had), mail: mail.filter(had), claim },
    {
      sources: sources.filter(hadNot).map(failed),
      enqueues: enqueues.filter(hadNot).map(sentAgain).map(failed),
      mail: mail.filter(hadNot).map(failed),
      claim,
    },
  ]
}

function failed<T>(waiting: Waiting<T>): Waiting<T> {
  return { ...waiting, hasFailed: true }
}

function sentAgain({ what, ...waiting }: Sending['enqueues'][number]) {
  const items = what.items.map((run) => ({ ...run, isSentAgain: true }))
  return { ...waiting, what: { ...what, items } }
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
