import { entryData, type Entry } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import { transitions } from '../../core/transitions.ts'
import type { Enqueued, NewRun } from '../store.ts'
import type { Session } from './database.ts'
import { countKeys } from './keys.ts'
import { createRowsStatement } from './rows-statement.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

/** What became of new runs. */
export interface Inserted {
  /** In the order of the runs. */
  readonly enqueued: Enqueued[]
  /** Of the runs that existed: they were counted for their key, and did not come. */
  readonly stayedAway: ReadonlyMap<string, number>
}

/**
 * Inserts runs whose concurrency keys the transaction has locked and counted, except those that exist by id or by
 * idempotency key.
 */
export type InsertRuns = (
  session: Session,
  runs: readonly NewRun[],
  now: number,
) => Promise<Inserted>

// A run that exists can be deleted before it is read; then its successor is inserted after all.
const MAX_ROUNDS = 5

export function createInsertRuns(sql: Sql, find: FindRuns): InsertRuns {
  const insert = createInsert(sql)
  const insertLabels = createInsertLabels(sql)

  return async (session, runs, now) => {
    const answers = new Map<NewRun, Enqueued>()
    const came = new Set<string>()
    // Two batches with the same keys wait for each other in one order.
    let open = [...runs].sort(byIdempotencyKey)
    for (let round = 0; open.length > 0; round++) {
      if (round === MAX_ROUNDS) throw new Error('The runs of these idempotency keys come and go')
      const inserted = await insert(session, open, now)
      for (const run of open) {
        if (!inserted.has(run.id)) continue
        came.add(run.id)
        answers.set(run, created(newRecord(run, now)))
      }
      if (inserted.size < open.length) await find(session, open, answers)
      open = open.filter((run) => !answers.has(run))
    }
    await insertLabels(session, runs)
    const others = runs.filter((run) => !came.has(run.id))
    return {
      enqueued: runs.map((run) => answers.get(run) as Enqueued),
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

/** Inserts runs with their first entries, in one statement where the database can; answers the ids that went in. */
function createInsert(sql: Sql) {
  const { runs, journal } = sql.tables
  const insertEntries = `insert into ${journal} (run, seq, generation, kind, at, data)`
  const entryOf = (run: string) =>
    `${run}.number, 1, 0, '${transitions.trigger.event}', ${run}.created_at, '${entryData('run:trigger', {})}'`
  const insert = createRowsStatement(sql, 'b', newColumns, (rows) => {
    const insertRuns = `
    insert into ${runs} (id, job, status, ready, priority, due_at, wake_at, expire_at, concurrency_key, holds_key,
      generation, attempt, crashes, inbox, idempotency_key, created_at, updated_at, labels, payload_format, payload)
    select b.id, b.job, '${transitions.trigger.to}',
      (coalesce(b.due_at, 0) <= b.now and b.concurrency_key is null),
      b.priority, coalesce(b.due_at, b.now), case when b.due_at > b.now then b.due_at end, b.expire_at,
      b.concurrency_key, false, 0, 1, 0, 0, b.idempotency_key, b.now, b.now,
      b.labels, b.payload_format, b.payload
    from ${rows} where b.id is not null
    on conflict do nothing
    returning id`
    if (!sql.changesInQueries) return insertRuns
    return `
    with made as (${insertRuns}, number, created_at),
      told as (${insertEntries} select ${entryOf('made')} from made)
    select id from made`
  })
  const insertTriggers = sql.write(`
    ${insertEntries}
    select ${entryOf('r')} from ${sql.texts('t', '$ids')} join ${runs} r on r.id = t.value`)

  return async (
    session: Session,
    news: readonly NewRun[],
    now: number,
  ): Promise<ReadonlySet<string>> => {
    const inserted = new Set<string>()
    for (const [statement, params] of insert.over(news.map((run) => [...valuesOf(run), now]))) {
      for (const { id } of await session.rows(statement, params)) inserted.add(id as string)
    }
    if (!sql.changesInQueries && inserted.size > 0) {
      await session.change(insertTriggers, { ids: JSON.stringify([...inserted]) })
    }
    return inserted
  }
}

const newColumns = {
  id: 'text',
  job: 'text',
  priority: 'int8',
  due_at: 'int8',
  expire_at: 'int8',
  concurrency_key: 'text',
  idempotency_key: 'text',
  labels: 'text',
  payload_format: 'text',
  payload: 'text',
  now: 'int8',
} as const

function valuesOf(run: NewRun): readonly unknown[] {
  return [
    run.id,
    run.jobName,
    run.priority,
    run.dueAt,
    run.expireAt,
    run.concurrencyKey,
    run.idempotencyKey,
    JSON.stringify(run.labels),
    run.payload.format,
    run.payload.text,
  ]
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

export function newRecord(run: NewRun, now: number): RunRecord {
  return {
    id: run.id,
    jobName: run.jobName,
    status: transitions.trigger.to,
    payload: run.payload,
    output: null,
    error: null,
    progress: null,
    idempotencyKey: run.idempotencyKey,
    concurrencyKey: run.concurrencyKey,
    labels: run.labels,
    priority: run.priority,
    attempt: 1,
    generation: 0,
    crashes: 0,
    executing: null,
    inbox: 0,
    parentRunId: null,
    waitingFor: null,
    dueAt: run.dueAt ?? now,
    expireAt: run.expireAt,
    createdAt: now,
    updatedAt: now,
    startedAt: null,
    completedAt: null,
  }
}
