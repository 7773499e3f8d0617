import { afterAll, describe } from 'vitest'
import type { NewEntry } from '../../../src/core/journal.ts'
import type { RunRecord, Wait } from '../../../src/core/run.ts'
import type {
  Acted,
  Answer,
  Batch,
  Claim,
  ClaimRequest,
  Commit,
  Enqueued,
  Held,
  Lease,
  NewRun,
  Reclaimed,
  ReclaimRequest,
  Removed,
  Send,
  Sent,
  Store,
  Transition,
} from '../../../src/store/store.ts'
import { backends } from '../../backends.ts'
import { shareDatabase } from '../shared-database.ts'

/** The time at which every scenario begins. */
export const START = 1_800_000_000_000
export const SECOND = 1000
/** Long enough that a real clock beside the virtual one never matters. */
export const LEASE_MS = 60 * SECOND
export const JOB = 'job'

/** Empties the database, and opens as many stores on it as asked for. */
export type Open = (stores?: number) => Promise<[Store, ...Store[]]>

/** Repeats the tests that `define` makes for each backend. */
export function onEveryBackend(define: (open: Open) => void): void {
  describe.each(backends)('$name', (backend) => {
    const database = shareDatabase(backend)
    afterAll(() => database.close())
    define(async (stores = 1) => {
      await database.begin()
      const first = await database.connect()
      const others: Store[] = []
      while (others.length < stores - 1) others.push(await database.connect())
      return [first, ...others]
    })
  })
}

export function newRun(id: string, more: Partial<NewRun> = {}): NewRun {
  return {
    id,
    jobName: JOB,
    payload: { format: 'json', text: '{}' },
    idempotencyKey: null,
    concurrencyKey: null,
    labels: {},
    priority: 0,
    dueAt: null,
    expireAt: null,
    coalesce: false,
    ...more,
  }
}

export const nothing: Batch = { commits: [], runs: [], sends: [], claim: null }

export async function enqueue(
  store: Store,
  runs: readonly NewRun[],
  now = START,
): Promise<readonly Enqueued[]> {
  const written = await store.write({ ...nothing, runs }, now)
  return written.runs
}

export async function claim(
  store: Store,
  more: Partial<ClaimRequest> = {},
  now = START,
): Promise<readonly Claim[]> {
  const written = await store.write({ ...nothing, claim: claimRequest(more) }, now)
  return written.claimed
}

export function claimRequest(more: Partial<ClaimRequest> = {}): ClaimRequest {
  return { workerId: 'worker', leaseMs: LEASE_MS, jobs: [JOB], limit: 100, ...more }
}

export async function commit(store: Store, request: Commit, now = START): Promise<Answer> {
  const written = await store.write({ ...nothing, commits: [request] }, now)
  return only(written.commits)
}

export function reclaim(
  store: Store,
  more: Partial<ReclaimRequest>,
  now: number,
): Promise<Reclaimed> {
  const request = { workerId: 'rescuer', leaseMs: LEASE_MS, jobs: [JOB], limit: 100 }
  return store.reclaim({ ...request, maxCrashes: 100, ...more }, now)
}

/** Enqueues a run and claims it, for `worker` unless told otherwise. */
export async function startRun(
  store: Store,
  id: string,
  more: Partial<NewRun> = {},
  now = START,
): Promise<Claim> {
  await enqueue(store, [newRun(id, more)], now)
  return only(await claim(store, { jobs: [more.jobName ?? JOB] }, now))
}

/** The lease as a renewal says it. */
export function heldOf(run: RunRecord): Held {
  return { ...leaseOf(run), inbox: run.inbox }
}

export function leaseOf({ id, generation }: RunRecord): Lease {
  return { runId: id, generation }
}

/** A commit of the run's holder that has the next positions in its journal. */
export function commitOf(
  claimed: Claim,
  entries: readonly NewEntry[],
  transition?: Transition,
): Commit {
  return {
    lease: leaseOf(claimed.run),
    concurrencyKey: claimed.run.concurrencyKey,
    entries,
    ...(transition === undefined ? {} : { transition }),
  }
}

/** A step's result, as the `after + 1`st line of the journal. */
export function stepDone(after: number, name = 'step', at = START): NewEntry {
  const data = '{"index":0,"duration":1,"output":null}'
  return { seq: after + 1, kind: 'step:complete', name, at, data }
}

const outcomes = {
  complete: {
    kind: 'run:complete',
    data: '{"duration":1}',
    transition: { name: 'complete', output: { format: 'json', text: '"done"' } },
  },
  fail: {
    kind: 'run:fail',
    data: '{"duration":1,"error":{"name":"Error","message":"no"}}',
    transition: { name: 'fail', error: { name: 'Error', message: 'no' } },
  },
  release: {
    kind: 'run:release',
    data: '{"reason":"drain"}',
    transition: { name: 'release' },
  },
} as const

/** The commit with which a holder lets go of its run, `after` the last position it knows. */
export function ending(
  claimed: Claim,
  outcome: keyof typeof outcomes,
  after = claimed.entry.seq,
  at = START,
): Commit {
  const { kind, data, transition } = outcomes[outcome]
  return commitOf(claimed, [{ seq: after + 1, kind, name: null, at, data }], transition)
}

/** The commit with which a holder parks its run, having seen all of its mailbox unless told otherwise. */
export function parking(
  claimed: Claim,
  more: Partial<Extract<Transition, { name: 'park' }>> = {},
  after = claimed.entry.seq,
  at = START,
): Commit {
  const { waits = [], wakeAt = null, inbox = claimed.run.inbox } = more
  const entry = { kind: 'run:wait', name: null, at, data: JSON.stringify({ waits }) } as const
  const transition = { name: 'park', waits, wakeAt, inbox } as const
  return commitOf(claimed, [{ ...entry, seq: after + 1 }], transition)
}

/** Starts a run and parks it at once. */
export async function parkRun(
  store: Store,
  id: string,
  waits: readonly Wait[],
  more: Partial<NewRun> & { readonly wakeAt?: number } = {},
): Promise<Claim> {
  const { wakeAt = null, ...run } = more
  const claimed = await startRun(store, id, run)
  await commit(store, parking(claimed, { waits, wakeAt }))
  return claimed
}

export function waitFor(kind: Wait['kind'], name: string): Wait {
  return { kind, name, until: null }
}

/** A signal, unless told otherwise. */
export function newSend(runId: string, name: string, more: Partial<Send> = {}): Send {
  const data = { format: 'json', text: `"${name}"` } as const
  return { id: `to ${runId}: ${name}`, to: { runId }, kind: 'signal', name, data, ...more }
}

export async function send(store: Store, message: Send, now = START): Promise<Sent> {
  const written = await store.write({ ...nothing, sends: [message] }, now)
  return only(written.sends)
}

/** The kinds and names of the unread messages, in order. */
export async function mailOf(store: Store, runId: string): Promise<string[]> {
  const { messages } = await store.mailbox(runId)
  return messages.map(({ kind, name }) => `${kind} ${name}`)
}

/** Everything the store says of the run. */
export async function stateOf(store: Store, runId: string): Promise<unknown> {
  return {
    page: await store.journal(runId, 0, 1000),
    run: await store.run(runId),
    mailbox: await store.mailbox(runId),
  }
}

export async function kindsOf(store: Store, runId: string): Promise<string[]> {
  const page = await store.journal(runId, 0, 1000)
  return page?.entries.map(({ kind }) => kind) ?? []
}

export async function existing(store: Store, runId: string): Promise<RunRecord> {
  const run = await store.run(runId)
  if (run === null) throw new Error(`There is no run ${runId}`)
  return run
}

export function act(
  store: Store,
  transition: 'cancel' | 'retry' | 'delete',
  runId: string,
  now = START,
): Promise<Acted | Removed> {
  return transition === 'delete' ? store.remove(runId, now) : store.act({ transition, runId }, now)
}

export function idsOf(items: readonly { readonly run: RunRecord }[]): string[] {
  return items.map(({ run }) => run.id)
}

/** The only item; an error when there is none, or more. */
export function only<T>(items: readonly T[]): T {
  const [item, ...more] = items
  if (item === undefined || more.length > 0) throw new Error(`Expected one, got ${items.length}`)
  return item
}
