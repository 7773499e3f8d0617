import type { Batch, NewRun, Store, Transition, Written } from '../store.ts'
import type { TakeRuns } from './claim.ts'
import type { CommitSteps } from './commit.ts'
import type { Database, Session } from './database.ts'
import type { Enqueue } from './enqueue.ts'
import { countKeys, type Keys } from './keys.ts'
import type { Workers } from './workers.ts'

export interface WriteSteps {
  readonly commit: CommitSteps
  readonly enqueue: Enqueue
  readonly claim: TakeRuns
  readonly keys: Keys
  readonly workers: Workers
}

/** The group commit. Locks are taken in one order everywhere: workers, keys, runs. */
export function createWrite(database: Database, steps: WriteSteps): Store['write'] {
  const { commit, enqueue, claim, keys, workers } = steps

  async function writeAll(session: Session, batch: Batch, now: number): Promise<Written> {
    const { commits, runs } = batch
    if (batch.claim !== null) {
      await workers.renew(session, batch.claim, now, batch.claim.jobs)
    }
    const counts = countComing(batch)
    await keys.lock(session, counts)

    const answers = await commit.append(session, commits)
    const ended = await commit.change(session, commits, now)
    const { enqueued, stayedAway } = await enqueue.all(session, runs, now)

    const leaving = new Map(stayedAway)
    for (const { lease, concurrencyKey: key, transition } of commits) {
      if (key === null || !ends(transition)) continue
      leaving.set(key, (leaving.get(key) ?? 0) + Number(ended.has(lease.runId)))
    }
    await keys.leave(session, leaving)
    await keys.settle(session, counts.keys())
    const claimed = batch.claim === null ? [] : await claim(session, batch.claim, now)
    return { ...none, commits: answers, runs: enqueued, claimed }
  }

  return async (batch, now) => {
    const { commits, runs } = batch
    if (runs.length === 0 && batch.claim === null && commit.isPlain(commits)) {
      return { ...none, commits: await commit.append(database, commits) }
    }
    if (commits.length === 0 && batch.claim === null && runs.every(takesLocks)) {
      const known = await enqueue.known(database, runs)
      if (known !== null) return { ...none, runs: known }
    }
    return database.transaction((session) => writeAll(session, batch, now))
  }
}

const none: Written = { commits: [], runs: [], sends: [], claimed: [], woken: [] }

/** The keys to lock, with the number of runs that come to each. */
function countComing({ commits, runs }: Batch): Map<string, number> {
  const counts = countKeys(runs.map((run) => run.concurrencyKey))
  for (const { concurrencyKey: key, transition } of commits) {
    if (key !== null && ends(transition)) counts.set(key, counts.get(key) ?? 0)
  }
  return counts
}

function ends(transition: Transition | undefined): boolean {
  return transition !== undefined && transition.name !== 'release'
}

/** Whether the database would write for the run's key though it turned out to exist: an idempotent hit must not. */
function takesLocks(run: NewRun): boolean {
  return run.concurrencyKey !== null && run.idempotencyKey !== null
}
