import { entryData } from '../../core/journal.ts'
import { transitions } from '../../core/transitions.ts'
import type { ClaimRequest, NewRun } from '../store.ts'
import type { Database, Row, Session } from './database.ts'
import { createRowsStatement } from './rows-statement.ts'
import type { Sql } from './sql.ts'
import { leasedUntil, renewForClaim, type Workers } from './workers.ts'

/**
 * Inserts those of the runs that do not exist, with their first entries, in one statement where the database can.
 * Answers the ids of those that went in, and of each whether `starter` has claimed it.
 */
export type InsertNew = (
  session: Session,
  runs: readonly NewRun[],
  starter: ClaimRequest | null,
  now: number,
) => Promise<ReadonlyMap<string, boolean>>

export function createInsertNew(sql: Sql, database: Database, workers: Workers): InsertNew {
  const insertPending = createInsert(sql, 'pending')
  const insertStarted = createInsert(sql, 'started')

  return async (session, runs, starter, now) => {
    const rows = runs.map((run) => valuesOf(run, now))
    if (starter === null) {
      const made = await insertPending(session, rows)
      return new Map(made.map(({ id }) => [id as string, false]))
    }
    const { workerId, leaseMs } = starter
    const times = { leaseMs, ...database.leaseTime(now) }
    const params = { workerId, jobs: JSON.stringify(starter.jobs), ...times }
    const made = await insertStarted(session, rows, params)
    const first = made.find(isStarted)
    if (first !== undefined && !sql.changesInQueries) {
      await workers.renewUnlessFresh(session, starter, first.leased_until, now)
    }
    return new Map(made.map((row) => [row.id as string, isStarted(row)]))
  }
}

function isStarted({ generation }: Row): boolean {
  return Number(generation) > 0
}

const columns = {
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

function valuesOf(run: NewRun, now: number): readonly unknown[] {
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
    now,
  ]
}

type Way = 'pending' | 'started'

/** Inserts rows of `columns`; answers `id` and `generation`, and with `started` when the worker's lease ends. */
function createInsert(sql: Sql, way: Way) {
  const { worker, before, after } = way === 'pending' ? nobody : firstInLine(sql)
  const told = createInsertFirst(sql)
  const insert = createRowsStatement(sql, 'b', columns, (rows) => {
    const insertRuns = `${createInsertRows(sql, rows, way, worker)}, number, created_at`
    if (!sql.changesInQueries) return `${before} ${insertRuns} ${after}`
    return `${before === '' ? 'with' : `${before},`}
      made as (${insertRuns}),
      told as (${told.of('made')})
    select id, generation from made`
  })

  return async (
    session: Session,
    values: readonly (readonly unknown[])[],
    others?: Readonly<Record<string, unknown>>,
  ): Promise<readonly Row[]> => {
    const made: Row[] = []
    for (const [statement, params] of insert.over(values, others)) {
      made.push(...(await session.rows(statement, params)))
    }
    if (!sql.changesInQueries) await told.all(session, made)
    return made
  }
}

/** The first entries of runs, which have been claimed already where they have a generation. */
function createInsertFirst(sql: Sql) {
  const { trigger, claim } = transitions
  const firsts = [
    [1, 0, trigger.event, entryData('run:trigger', {})],
    [2, 1, claim.event, entryData('run:start', { attempt: 1 })],
  ] as const
  const into = `insert into ${sql.tables.journal} (run, seq, generation, kind, at, data)`
  const insert = createRowsStatement(
    sql,
    'b',
    { run: 'int8', seq: 'int8', generation: 'int8', kind: 'text', at: 'int8', data: 'text' },
    (rows) => `${into}
    select b.run, b.seq, b.generation, b.kind, b.at, b.data from ${rows} where b.run is not null`,
  )
  return {
    /** The text that inserts them for `made`, rows of runs. */
    of: (made: string) =>
      `${into} ${firsts
        .map(([seq, generation, kind, data]) => {
          return `select number, ${seq}, ${generation}, '${kind}', created_at, '${data}' from ${made} where generation >= ${generation}`
        })
        .join(' union all ')}`,
    async all(session: Session, made: readonly Row[]): Promise<void> {
      const entries = made.flatMap((row) =>
        firsts
          .filter(([, generation]) => Number(row.generation) >= generation)
          .map(([seq, generation, kind, data]) => {
            return [row.number, seq, generation, kind, row.created_at, data]
          }),
      )
      for (const [statement, params] of insert.over(entries)) {
        await session.change(statement, params)
      }
    },
  }
}

const nobody = { worker: '', before: '', after: '' }

/**
 * The worker as a table, called `f`, of one row or none: it has runs as they are made if nothing of its jobs could be
 * claimed before them, and none of these is paused. Its lease is seen to where a statement can do so.
 */
function firstInLine(sql: Sql) {
  const { runs, jobs } = sql.tables
  const isBehind = sql.hasAny(
    sql.texts('j', '$jobs'),
    runs,
    'p.job = j.value and p.ready',
    'p.priority desc, p.due_at, p.id',
  )
  const isPaused = sql.hasAny(
    sql.texts('j', '$jobs'),
    jobs,
    'p.name = j.value and p.paused',
    'p.name',
  )
  const isNext = `not ${isBehind} and not ${isPaused}`
  const next = `with next as materialized (select $workerId::text as id where ${isNext})`
  if (!sql.changesInQueries) {
    return { worker: 'next', before: next, after: `, ${leasedUntil(sql, 'worker', '$jobs::text')}` }
  }
  const renewed = renewForClaim(sql, 'exists (select 1 from next)')
  return { worker: 'renewed', before: `${next}, renewed as (${renewed} returning id)`, after: '' }
}

/** Of runs that start now it is known that they are due, and have no concurrency key. */
function createInsertRows({ tables }: Sql, rows: string, way: Way, worker: string): string {
  const { trigger, claim } = transitions
  const started = `
    case when f.id is null then '${trigger.to}' else '${claim.to}' end, f.id is null,
      f.id, case when f.id is null then 0 else 1 end, case when f.id is not null then b.now end,
      case when f.id is null then b.expire_at end,`
  const pending = `
    '${trigger.to}', (coalesce(b.due_at, 0) <= b.now and b.concurrency_key is null),
      null, 0, null, b.expire_at,`
  return `
    insert into ${tables.runs} (id, job, status, ready, worker, generation, started_at, expire_at, priority, due_at,
      wake_at, concurrency_key, holds_key, attempt, crashes, inbox, idempotency_key, created_at, updated_at,
      labels, payload_format, payload)
    select b.id, b.job, ${way === 'started' ? started : pending}
      b.priority, coalesce(b.due_at, b.now), case when b.due_at > b.now then b.due_at end,
      b.concurrency_key, false, 1, 0, 0, b.idempotency_key, b.now, b.now, b.labels, b.payload_format, b.payload
    from ${rows} ${way === 'started' ? `left join ${worker} f on true` : ''} where b.id is not null
    on conflict do nothing
    returning id, generation`
}
