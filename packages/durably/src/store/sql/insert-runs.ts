import { DurablyError } from '../../core/error.ts'
import { entryData, type Entry } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import { transitions } from '../../core/transitions.ts'
import { newRecord } from '../new-record.ts'
import type { Claim, ClaimRequest, Enqueued, NewRun } from '../store.ts'
import { inOrder, startEntry } from './claim.ts'
import type { Session } from './database.ts'
import type { InsertNew } from './insert-new.ts'
import { countKeys } from './keys.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

/** What became of new runs. */
export interface Inserted {
  /** In the order of the runs. */
  readonly enqueued: Enqueued[]
  /** Those that were claimed as they were made, in the order of claims. */
  readonly claimed: Claim[]
  /** Of the runs that existed: they were counted for their key, and did not come. */
  readonly stayedAway: ReadonlyMap<string, number>
}

/**
 * Inserts runs whose concurrency keys the transaction has locked and counted, except those that exist by id or by
 * idempotency key. What `starter` would claim of them next it has at once.
 */
export type InsertRuns = (
  session: Session,
  runs: readonly NewRun[],
  starter: ClaimRequest | null,
  now: number,
) => Promise<Inserted>

// A run that exists can be deleted before it is read; then its successor is inserted after all.
const MAX_ROUNDS = 5

export function createInsertRuns(sql: Sql, find: FindRuns, insert: InsertNew): InsertRuns {
  const insertLabels = createInsertLabels(sql)

  return async (session, runs, starter, now) => {
    const answers = new Map<NewRun, Enqueued>()
    const came = new Set<string>()
    const claimed: Claim[] = []
    // Two batches with the same keys wait for each other in one order.
    let open = [...runs].sort(byIdempotencyKey)
    for (let round = 0; open.length > 0; round++) {
      if (round === MAX_ROUNDS) {
        throw new DurablyError('store', 'The runs of these idempotency keys come and go: try again')
      }
      const inserted = await insert(session, open, starter, now)
      for (const run of open) {
        const isClaimed = inserted.get(run.id)
        if (isClaimed === undefined) continue
        came.add(run.id)
        answers.set(run, created(newRecord(run, now)))
        if (isClaimed) claimed.push(claimedAtOnce(run, now))
      }
      open = open.filter((run) => !inserted.has(run.id))
      if (open.length > 0) await find(session, open, answers)
      open = open.filter((run) => !answers.has(run))
    }
    await insertLabels(session, runs)
    const others = runs.filter((run) => !came.has(run.id))
    return {
      enqueued: runs.map((run) => answers.get(run) as Enqueued),
      claimed: claimed.sort(inOrder),
      stayedAway: countKeys(others.map((run) => run.concurrencyKey)),
    }
  }
}

function byIdempotencyKey(a: NewRun, b: NewRun): number {
  return (
    compare(a.jobName, b.jobName) ||
    compare(a.idempotencyKey ?? '', b.idempotencyKey ?? '') ||
    // Of those with one key, the first that was asked for comes in.
    (a.idempotencyKey === null ? compare(a.id, b.id) : 0)
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function createInsertLabels(sql: Sql) {
  const { labels, runs } = sql.tables
  const insert = sql.write(`
    insert into ${labels} (name, value, run_id)
    select b.name, b.value, r.id
    from ${sql.rows('b', '$labels', { run_id: 'text', name: 'text', value: 'text' })}
    join ${runs} r on r.id = b.run_id
    where true
    on conflict (name, value, run_id) do nothing`)

  return async (session: Session, news: readonly NewRun[]): Promise<void> => {
    const rows = news.flatMap((run) =>
      Object.entries(run.labels).map(([name, value]) => ({ run_id: run.id, name, value })),
    )
    if (rows.length > 0) await session.change(insert, { labels: JSON.stringify(rows) })
  }
}

/** Answers for the runs that exist, by id or by idempotency key. */
export type FindRuns = (
  session: Session,
  runs: readonly NewRun[],
  answers: Map<NewRun, Enqueued>,
) => Promise<void>

/** Reads, in a statement of its own, which of the runs exist: a concurrent commit may have made them. */
export function createFindRuns(sql: Sql): FindRuns {
  const { runs } = sql.tables
  const wanted = sql.rows('b', '$wanted', { i: 'int8', id: 'text', job: 'text', key: 'text' })
  const find = sql.read(`
    select b.i, ${runColumns(sql.tables)}
    from ${wanted} join ${runs} r on r.id = b.id
    union all
    select b.i, ${runColumns(sql.tables)}
    from ${wanted} join ${runs} r on r.job = b.job and r.idempotency_key = b.key and r.id <> b.id`)

  return async (session, news, answers) => {
    const rows = news.map((run, i) => ({
      i,
      id: run.id,
      job: run.jobName,
      key: run.idempotencyKey,
    }))
    const found = await session.rows(find, { wanted: JSON.stringify(rows) })
    for (const row of found) {
      const run = news[Number(row.i)]
      const record = toRunRecord(row)
      if (run === undefined) continue
      if (record.id === run.id) answers.set(run, created(record))
      else if (!answers.has(run))
        answers.set(run, { disposition: 'idempotent', run: record, entry: null })
    }
  }
}

function created(run: RunRecord): Enqueued {
  const entry: Entry = {
    runId: run.id,
    seq: 1,
    generation: 0,
    kind: transitions.trigger.event,
    name: null,
    at: run.createdAt,
    data: entryData('run:trigger', {}),
  }
  return { disposition: 'created', run, entry }
}

function claimedAtOnce(run: NewRun, now: number): Claim {
  const made = newRecord(run, now)
  const status = transitions.claim.to
  const claimed = { ...made, status, generation: 1, startedAt: now, expireAt: null }
  return { run: claimed, entry: { ...startEntry(claimed, now), seq: 2 } }
}
