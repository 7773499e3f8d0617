import { isHeld } from '../../core/lease.ts'
import {
  RejectedWriteError,
  type Answer,
  type Batch,
  type Claim,
  type ClaimRequest,
  type Commit,
  type NewRun,
  type Store,
  type Written,
} from '../store.ts'
import type { ClaimSteps } from './claim.ts'
import type { CommitSteps } from './commit.ts'
import type { Consume } from './consume.ts'
import type { Database, Session } from './database.ts'
import type { Enqueue } from './enqueue.ts'
import { countKeys, type Keys } from './keys.ts'
import type { LockedRun, LockRuns } from './lock-runs.ts'
import type { SendAll } from './send.ts'
import type { Waiters } from './waiters.ts'
import type { Workers } from './workers.ts'

export interface WriteSteps {
  readonly commit: CommitSteps
  readonly consume: Consume
  readonly enqueue: Enqueue
  readonly send: SendAll
  readonly claim: ClaimSteps
  readonly keys: Keys
  readonly lockRuns: LockRuns
  readonly waiters: Waiters
  readonly workers: Workers
}

/** The group commit. Locks are taken in one order everywhere: workers, keys, runs. */
export function createWrite(database: Database, steps: WriteSteps): Store['write'] {
  const { commit, consume, enqueue, send, claim, keys, lockRuns, waiters } = steps
  const lock = createLock(steps)

  async function writeAll(session: Session, batch: Batch, now: number): Promise<Written> {
    const { commits, runs, sends } = batch
    const counts = countComing(batch)
    const locked = await lock(session, batch, counts)

    const [going, answerAll] = withoutMoved(commits, locked)
    const answers = await commit.append(session, going)
    await consume(
      session,
      going.filter((_, i) => answers[i] === 'committed'),
    )
    const changed = await commit.change(session, going, now)
    const ended = going.filter(ends).map(runIdOf)
    const watched = ended.filter((id) => changed.get(id) === true)
    const woken = await waiters.tell(session, { targets: watched, locked }, now)
    // A message may wake a run that is to be claimed before them, and a key have one.
    const starter = sends.length + counts.size === 0 ? batch.claim : null
    const { enqueued, claimed: atOnce, stayedAway } = await enqueue.all(session, runs, starter, now)

    const leaving = new Map(stayedAway)
    for (const { lease, concurrencyKey: key } of commits.filter(ends)) {
      if (key === null) continue
      leaving.set(key, (leaving.get(key) ?? 0) + Number(changed.has(lease.runId)))
    }
    await keys.leave(session, leaving)
    await keys.settle(session, counts.keys())

    // Of runs that others made meanwhile nothing is known here: they would be locked out of the order.
    const own = sends.length > 0 ? await lockRuns(session, reachableBy(runs, going)) : noRuns
    const sent = await send.all(session, sends, new Map([...locked, ...own]), now)
    const claimed = await claimOthers(atOnce, batch.claim, (request) =>
      claim.within(session, request, now),
    )
    return { commits: answerAll(answers), runs: enqueued, sends: sent, claimed, woken }
  }

  async function write(batch: Batch, now: number): Promise<Written> {
    const { commits, runs, sends } = batch
    if (batch.claim !== null && commits.length + runs.length + sends.length === 0) {
      return { ...nothing, claimed: await claim.alone(batch.claim, now) }
    }
    const isAlone = sends.length === 0 && batch.claim === null
    if (isAlone && runs.length === 0 && commit.isOneStatement(commits)) {
      return { ...nothing, commits: await commit.append(database, commits) }
    }
    if (isAlone && commits.length === 0 && runs.every(takesLocks)) {
      const known = await enqueue.known(database, runs)
      if (known !== null) return { ...nothing, runs: known }
    }
    if (sends.length + commits.length === 0 && enqueue.isOneStatement(runs)) {
      const { enqueued, claimed: atOnce } = await enqueue.all(database, runs, batch.claim, now)
      const claimed = await claimOthers(atOnce, batch.claim, (request) => claim.alone(request, now))
      return { ...nothing, runs: enqueued, claimed }
    }
    return database.transaction((session) => writeAll(session, batch, now))
  }

  return (batch, now) => write(batch, now).catch(rejectTooLong)
}

/** Text that is longer than a string can be, or than a driver takes, never reaches the database. */
function rejectTooLong(error: unknown): never {
  if (!(error instanceof RangeError)) throw error
  throw new RejectedWriteError(`The write is too long: ${error.message}`, { cause: error })
}

/**
 * Locks, in one order, what the batch concerns beyond its own commits; where runs are to be known first, those too.
 * The worker's row is locked by its claim, which comes last: before it only by who locks what others may want.
 */
function createLock({ send, waiters, workers, keys, lockRuns }: WriteSteps) {
  return async (session: Session, batch: Batch, coming: ReadonlyMap<string, number>) => {
    const { commits, sends, claim } = batch
    const recipients = await send.recipients(session, sends)
    const ending = commits.filter(ends).map(runIdOf)
    const others = [...recipients, ...(await waiters.of(session, ending))]
    if (claim !== null && coming.size + others.length > 0) {
      await workers.lock(session, claim.workerId)
    }
    await keys.lock(session, coming)
    // A batch of new runs alone locks no others.
    if (commits.length + sends.length > 0) {
      others.push(...(await keys.heads(session, coming.keys())))
    }
    if (others.length === 0 && !commits.some(needsLock)) return noRuns
    return lockRuns(session, [...commits.map(runIdOf), ...others])
  }
}

/** Where runs were claimed as they were made, all of them were, and there was nothing else to claim. */
async function claimOthers(
  atOnce: readonly Claim[],
  request: ClaimRequest | null,
  claim: (request: ClaimRequest) => Promise<Claim[]>,
): Promise<readonly Claim[]> {
  return request === null || atOnce.length > 0 ? atOnce : claim(request)
}

const nothing: Written = { commits: [], runs: [], sends: [], claimed: [], woken: [] }

const noRuns: ReadonlyMap<string, LockedRun> = new Map()

/** Whether it has to be known, before anything of the commit is written, how its run is. */
function needsLock({ entries, consumes, tokens, transition }: Commit): boolean {
  const isBare = entries.length === 0 && (consumes !== undefined || tokens !== undefined)
  return isBare || transition?.name === 'park'
}

/** The commits without those that want to park with a mailbox that has more; and how to answer them all. */
function withoutMoved(
  commits: readonly Commit[],
  locked: ReadonlyMap<string, LockedRun>,
): [Commit[], (answers: readonly Answer[]) => Answer[]] {
  const going = commits.filter((commit) => !hasMoved(commit, locked.get(commit.lease.runId)))
  return [
    going,
    (answers) => {
      const answerOf = new Map(going.map((commit, i) => [commit, answers[i]]))
      return commits.map((commit) => answerOf.get(commit) ?? 'moved')
    },
  ]
}

function hasMoved({ lease, transition }: Commit, run: LockedRun | undefined): boolean {
  if (transition?.name !== 'park' || run === undefined) return false
  return isHeld(run, lease.generation) && run.inbox !== transition.inbox
}

/** Runs that can be sent something only since the batch was written: it made them, or handed out their tokens. */
function reachableBy(runs: readonly NewRun[], commits: readonly Commit[]): string[] {
  const handsOut = commits.filter(({ tokens }) => tokens !== undefined && tokens.length > 0)
  return [...runs.map(({ id }) => id), ...handsOut.map(runIdOf)]
}

function runIdOf({ lease }: Commit): string {
  return lease.runId
}

/** The keys to lock, with the number of runs that come to each. */
function countComing({ commits, runs }: Batch): Map<string, number> {
  const counts = countKeys(runs.map((run) => run.concurrencyKey))
  for (const { concurrencyKey: key } of commits.filter(ends)) {
    if (key !== null) counts.set(key, counts.get(key) ?? 0)
  }
  return counts
}

function ends({ transition }: Commit): boolean {
  return transition?.name === 'complete' || transition?.name === 'fail'
}

/** Whether the database would write for the run's key though it turned out to exist: an idempotent hit must not. */
function takesLocks(run: NewRun): boolean {
  return run.concurrencyKey !== null && run.idempotencyKey !== null
}
