import type { MessageKind } from '../core/awaits.ts'
import type { Encoded } from '../core/codec.ts'
import { DurablyError, type ErrorDetail } from '../core/error.ts'
import type { Entry, NewEntry } from '../core/journal.ts'
import type { Labels, Progress, RunRecord, Wait } from '../core/run.ts'
import type { RunStatus } from '../core/transitions.ts'

/**
 * What the engine needs of a database, no more. `memory.ts` is the reference; `sql/` passes the same suite.
 *
 * Every operation is one transaction, or a bounded number of reads. Every operation may be sent again after
 * an error whose outcome is unknown: what was done the first time is found, not done twice.
 */
export interface Store {
  /** Creates or upgrades the tables. Several processes may do it at once. */
  migrate(): Promise<void>
  /** The group commit: what a process has to write now, in one transaction. */
  write(batch: Batch, now: number): Promise<Written>
  /** What a worker could do now, or by when. Reads only, at a cost that does not grow with the tables. */
  look(jobs: readonly string[], now: number): Promise<Outlook>
  /** Makes due runs claimable, waiting ones too, and cancels pending ones past their time, at most `limit` of each. */
  promote(limit: number, now: number): Promise<Fact[]>
  /** Takes over, hands on or gives up runs of workers whose lease ran out. */
  reclaim(request: ReclaimRequest, now: number): Promise<Reclaimed>
  /** Renews a worker's lease on all its runs, and tells which runs those are. */
  renew(worker: WorkerLease, now: number): Promise<Held[]>
  /** The same answer without renewing: one read. */
  leases(workerId: string): Promise<Held[]>
  /**
   * Ends the leases of workers whose ids begin so, but for `except`, and forgets those that have no runs: whoever says
   * it knows that they are dead.
   */
  retire(idPrefix: string, except: readonly string[]): Promise<void>
  /** Changes a run from outside, if the transition table allows it. */
  act(request: ActRequest, now: number): Promise<Acted>
  /** Deletes a run that has ended, and all that was its. */
  remove(runId: string, now: number): Promise<Removed>
  /**
   * Has `runId` told once `target` ends, by a message of kind `run` whose name is the target's id; at once if it has
   * ended, and anew each time it is asked: what was told before makes way. To be asked before the run parks: what it
   * tells at once wakes nobody. Answers how far the mailbox had come before: what it is told of this stands behind that.
   * Null: there is no such target.
   */
  watch(runId: string, target: string, now: number): Promise<number | null>
  /** Stops or continues the claiming of a job's runs, in every worker. */
  setPaused(jobName: string, paused: boolean, now: number): Promise<void>
  /** Deletes at most `limit` terminal runs that `filter` matches and that ended before `before`; returns their ids. */
  purge(filter: RunQuery, before: number, limit: number, now: number): Promise<string[]>

  run(id: string): Promise<RunRecord | null>
  /** Newest first. */
  runs(query: RunQuery): Promise<RunRecord[]>
  /** The run and the next `limit` entries of its journal after position `after`; null when there is no such run. */
  journal(runId: string, after: number, limit: number): Promise<JournalPage | null>
  /** What the run was sent and has not consumed. */
  mailbox(runId: string): Promise<Mailbox>

  /**
   * A number that is another one whenever another connection may have committed since. Null where the database has
   * none, now or later: then wake-ups come by other ways, or only polling.
   */
  version(): Promise<number | null>
  close(): Promise<void>
}

/** The right to write to a run. */
export interface Lease {
  readonly runId: string
  readonly generation: number
}

/** A lease, and how far the mailbox of its run has come. */
export interface Held extends Lease {
  readonly inbox: number
}

/** A worker as its row says it. */
export interface WorkerLease {
  readonly workerId: string
  /** Milliseconds that the lease holds from now. */
  readonly leaseMs: number
}

/** Written in this order: a run that is woken by what was sent can be claimed by the same batch. */
export interface Batch {
  readonly commits: readonly Commit[]
  readonly runs: readonly NewRun[]
  readonly sends: readonly Send[]
  /** Renews the worker's lease if it finds something. */
  readonly claim: ClaimRequest | null
}

/** The answers, in the order of the requests. */
export interface Written {
  readonly commits: readonly Answer[]
  readonly runs: readonly Enqueued[]
  readonly sends: readonly Sent[]
  readonly claimed: readonly Claim[]
  /** Runs that were woken because the commits ended what they wait for. */
  readonly woken: readonly Fact[]
}

/** A fenced write of a run's holder: entries and at most one transition, all or nothing. */
export interface Commit {
  readonly lease: Lease
  /** Of the run: what ends with it is freed in the same transaction. */
  readonly concurrencyKey: string | null
  readonly entries: readonly NewEntry[]
  /** Absent: as it was. */
  readonly progress?: Progress
  /** Notes the step that is about to execute. */
  readonly executing?: string
  /** Messages of the mailbox that its entries consume, by their positions. */
  readonly consumes?: readonly number[]
  /** Tokens that its entries hand out. */
  readonly tokens?: readonly NewToken[]
  readonly transition?: Transition
}

/** A right to complete a wait from outside. The text of it is known to its run alone. */
export interface NewToken {
  readonly hash: string
  /** Of the step that made it. */
  readonly name: string
  readonly expiresAt: number | null
}

/** What a holder can do with its run. Its entry is the last of the commit's entries, and says when the run ended. */
export type Transition =
  | { readonly name: 'complete'; readonly output: Encoded }
  | { readonly name: 'fail'; readonly error: ErrorDetail }
  | { readonly name: 'release' }
  | {
      readonly name: 'park'
      /** How far the mailbox had come when it was read: what came later is not to be slept through. */
      readonly inbox: number
      /** When it is woken at the latest; null: by a message alone. */
      readonly wakeAt: number | null
      readonly waits: readonly Wait[]
    }

/**
 * `committed`, also when it had been before and only the answer was lost. Else nothing was written: `cancelled`
 * and `lost`, the lease is gone; `moved`, it holds, but the mailbox has what the run that wants to park has not seen.
 */
export type Answer = 'committed' | 'cancelled' | 'lost' | 'moved'

export interface NewRun {
  /** Made by the caller, so that sending it again is the same run. */
  readonly id: string
  readonly jobName: string
  readonly payload: Encoded
  readonly idempotencyKey: string | null
  readonly concurrencyKey: string | null
  readonly labels: Labels
  readonly priority: number
  /** Null: now. */
  readonly dueAt: number | null
  readonly expireAt: number | null
  /** Take the job's pending run with this concurrency key that never started, if there is one. */
  readonly coalesce: boolean
  /** It may exist already: an earlier answer was lost. If it did and was deleted, it is not made again. */
  readonly isSentAgain?: boolean
}

/** How long the id of a run that was deleted soon after it was made is kept for whoever sends the run again. */
export const KEPT_IDS_MS = 3_600_000

export interface Enqueued {
  readonly disposition: 'created' | 'idempotent' | 'coalesced'
  readonly run: RunRecord
  /** What was written: nothing for an idempotent hit, or a run that was deleted since. */
  readonly entry: Entry | null
}

/** Something for a run's mailbox: a signal, a token's completion, the early end of a sleep. */
export interface Send {
  /** Unique in the mailbox of its run; made by the caller, so that sending it again is the same message. */
  readonly id: string
  readonly to: { readonly runId: string } | { readonly tokenHash: string }
  readonly kind: 'signal' | 'token' | 'wake'
  /** The signal's or the wait's; of a token its row says it. */
  readonly name: string
  readonly data: Encoded
}

export type Sent =
  | {
      readonly done: true
      readonly isNew: boolean
      readonly run: RunRecord
      /** The `run:wake`, when it woke the run. */
      readonly entry: Entry | null
    }
  | {
      readonly done: false
      /**
       * `unknown`: there is no such run or token. `ended`: the run has. `used`: another message completed the
       * token. `expired`: its time is over. `not-waiting`: the run waits, but for nothing of that name.
       */
      readonly reason: 'unknown' | 'ended' | 'used' | 'expired' | 'not-waiting'
      /** The run's; null when there is none. */
      readonly status: RunStatus | null
    }

/** What a run was sent, or told of a run it watches. */
export interface Message {
  /** Its position in the mailbox, in order of arrival. */
  readonly seq: number
  readonly kind: MessageKind
  /** Of the signal, the token, the wait; or the id of the run that ended. */
  readonly name: string
  /** Of a run that ended the JSON text of an `Ending`. */
  readonly data: Encoded | null
}

/** How a run ended, as the message about it says. */
export interface Ending {
  readonly status: RunStatus
  readonly output: Encoded | null
  readonly error: ErrorDetail | null
}

/** The messages that were not consumed. They are complete up to position `inbox`. */
export interface Mailbox {
  readonly inbox: number
  readonly messages: readonly Message[]
}

/** A claim sees to its worker's lease (`core/lease.ts`): others may have forgotten a worker that had no runs. */
export interface ClaimRequest extends WorkerLease {
  /** The jobs this worker knows. */
  readonly jobs: readonly string[]
  readonly limit: number
}

/** A run this worker now executes. Its record is as of the claim, its entry the `run:start` written by it. */
export interface Claim {
  readonly run: RunRecord
  readonly entry: Entry
}

export interface ReclaimRequest extends WorkerLease {
  readonly jobs: readonly string[]
  /** Runs to take over at most. Runs of jobs that are unknown here or paused are handed on beyond it. */
  readonly limit: number
  /** A run whose workers died so often in a row fails. */
  readonly maxCrashes: number
}

export interface Reclaimed {
  readonly claimed: readonly Claim[]
  /** Of runs that were handed on (`run:release`), given up (`run:fail`), or woken by that (`run:wake`). */
  readonly others: readonly Fact[]
}

/** Something that is now true of a run, to be announced. */
export interface Fact {
  readonly run: RunRecord
  readonly entry: Entry
}

export interface Outlook {
  /** A run of the asked jobs can be claimed. */
  readonly ready: boolean
  /** The next time `promote` has something to do; in the past when it has now. Null: never, as things stand. */
  readonly nextDueAt: number | null
  /** The lease of a worker that holds runs ran out. */
  readonly orphans: boolean
}

/**
 * `release` hands back a run that names a worker which does not execute it; `wake` asks for the lease of a parked
 * run again. Both are fenced by `generation`.
 */
export type ActRequest =
  | { readonly transition: 'cancel' | 'retry'; readonly runId: string }
  | {
      readonly transition: 'release' | 'wake'
      readonly runId: string
      readonly generation: number
    }

export type Acted =
  | (Fact & {
      readonly done: true
      /** Runs that were woken because they wait for its end. */
      readonly woken: readonly Fact[]
    })
  | Refused

export type Removed =
  | {
      readonly done: true
      readonly run: RunRecord
      /** Where its journal ended. */
      readonly lastSeq: number
    }
  | Refused

export interface Refused {
  readonly done: false
  /** Which forbade it; null when there is no such run. */
  readonly status: RunStatus | null
}

export interface RunQuery {
  readonly jobName?: string
  /** Empty or absent: any. */
  readonly statuses?: readonly RunStatus[]
  readonly labels?: Labels
  /** Only runs older than the one with this id, which need not exist any more. */
  readonly cursor?: string
  readonly limit?: number
  readonly offset?: number
}

export interface JournalPage {
  readonly run: RunRecord
  readonly entries: readonly Entry[]
}

/** The database understood the write and will never take it: sending it again cannot help. */
export class RejectedWriteError extends DurablyError {
  override readonly name = 'RejectedWriteError'

  constructor(message: string, options?: ErrorOptions) {
    super('store', message, options)
  }
}

/** Asking again cannot help: the instance was closed, or the database has no tables. */
export class UnusableStoreError extends DurablyError {
  constructor(code: 'closed' | 'store', message: string, options?: ErrorOptions) {
    super(code, message, options)
  }
}
