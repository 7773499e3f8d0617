import { newRecord } from '../new-record.ts'
import type { ClaimRequest, Enqueued, NewRun } from '../store.ts'
import type { Coalesce } from './coalesce.ts'
import type { Session } from './database.ts'
import type { FindDeleted } from './deleted-ids.ts'
import type { FindRuns, InsertRuns, Inserted } from './insert-runs.ts'
import { addCounts, countKeys } from './keys.ts'
import type { Sql } from './sql.ts'

export interface Enqueue {
  /** What the runs are in answer to if they all exist already, else null. Reads only. */
  known(session: Session, runs: readonly NewRun[]): Promise<Enqueued[] | null>
  /** Whether `all` writes these runs by one statement, whatever exists: it needs no transaction then. */
  isOneStatement(runs: readonly NewRun[]): boolean
  /**
   * Inserts or coalesces runs whose concurrency keys the transaction has locked and counted. `starter` claims what
   * comes after it in the transaction, which is nothing but these runs.
   */
  all(
    session: Session,
    runs: readonly NewRun[],
    starter: ClaimRequest | null,
    now: number,
  ): Promise<Inserted>
}

export interface EnqueueSteps {
  readonly insert: InsertRuns
  readonly find: FindRuns
  readonly findDeleted: FindDeleted
  readonly coalesce: Coalesce
}

export function createEnqueue(sql: Sql, steps: EnqueueSteps): Enqueue {
  const { insert, find, findDeleted, coalesce } = steps

  /** One by one, for each may be taken in by the one before. */
  async function coalesceOrInsert(session: Session, run: NewRun, now: number): Promise<Inserted> {
    const answers = new Map<NewRun, Enqueued>()
    await find(session, [run], answers)
    const answer = answers.get(run) ?? (await coalesce(session, run, now))
    if (answer === null) return insert(session, [run], null, now)
    return { enqueued: [answer], claimed: [], stayedAway: countKeys([run.concurrencyKey]) }
  }

  return {
    known: async (session, runs) => {
      const answers = new Map<NewRun, Enqueued>()
      await find(session, runs, answers)
      return answers.size === runs.length ? runs.map((run) => answers.get(run) as Enqueued) : null
    },
    // Of several, one whose key's run exists may be inserted later than the others: that run may go in between.
    isOneStatement: (runs) =>
      sql.changesInQueries &&
      runs.every(isPlain) &&
      (runs.length === 1 || runs.every(({ idempotencyKey }) => idempotencyKey === null)),
    all: async (session, runs, claim, now) => {
      const deleted = await findDeleted(session, runs)
      const gone = runs.filter(({ id }) => deleted.has(id))
      const open = runs.filter(({ id }) => !deleted.has(id))
      const plain = open.filter((run) => !run.coalesce)
      const starter = claim !== null && areClaimable(runs, claim, now) ? claim : null
      const { enqueued, claimed, stayedAway } = await insert(session, plain, starter, now)
      const answers = new Map(plain.map((run, i) => [run, enqueued[i] as Enqueued]))
      for (const run of gone) {
        answers.set(run, { disposition: 'created', run: newRecord(run, now), entry: null })
      }
      const away = new Map(stayedAway)
      addCounts(away, countKeys(gone.map((run) => run.concurrencyKey)))
      for (const run of open.filter((candidate) => candidate.coalesce)) {
        const one = await coalesceOrInsert(session, run, now)
        answers.set(run, one.enqueued[0] as Enqueued)
        addCounts(away, one.stayedAway)
      }
      return {
        enqueued: runs.map((run) => answers.get(run) as Enqueued),
        claimed,
        stayedAway: away,
      }
    },
  }
}

/** Whether the claim has room for all runs, and each is another one that can be claimed as soon as it is made. */
function areClaimable(runs: readonly NewRun[], claim: ClaimRequest, now: number): boolean {
  const names = runs.flatMap(({ id, idempotencyKey: key }) => (key === null ? [id] : [id, key]))
  return (
    runs.length <= claim.limit &&
    new Set(names).size === names.length &&
    runs.every(({ jobName, concurrencyKey, coalesce, dueAt, expireAt, isSentAgain }) => {
      const isNew = isSentAgain !== true && !coalesce
      const isDue = dueAt === null && (expireAt === null || expireAt > now)
      return isNew && isDue && concurrencyKey === null && claim.jobs.includes(jobName)
    })
  )
}

/** Whether nothing but the run and its first entry is to be written for it. */
function isPlain({ concurrencyKey, labels, coalesce, isSentAgain }: NewRun): boolean {
  const isNew = isSentAgain !== true && !coalesce
  return isNew && concurrencyKey === null && Object.keys(labels).length === 0
}
