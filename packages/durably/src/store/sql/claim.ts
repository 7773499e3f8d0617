import { entryData, type Entry } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import { transitions } from '../../core/transitions.ts'
import type { Claim, ClaimRequest } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Row, Session } from './database.ts'
import type { Append } from './journal.ts'
import { toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

/** Gives a worker the first claimable runs of its jobs. */
export type TakeRuns = (session: Session, request: ClaimRequest, now: number) => Promise<Claim[]>

interface Taken {
  readonly row: Row
  readonly run: RunRecord
}

type TakeFirst = (
  session: Session,
  params: {
    readonly workerId: string
    readonly now: number
    readonly limit: number
    /** A JSON array. */
    readonly jobs: string
  },
) => Promise<readonly Row[]>

export function createClaim(sql: Sql, append: Append): TakeRuns {
  const { runs, jobs } = sql.tables
  const order = (run: string) => `${run}.priority desc, ${run}.due_at, ${run}.id`
  // Each job is searched in its own part of the index: what is ready of other jobs is never seen.
  const candidates = sql.searchEach(
    sql.texts('j', '$jobs'),
    'c',
    runs,
    `where p.job = j.value and p.ready and (p.expire_at is null or p.expire_at > $now::int8)
    order by ${order('p')} ${sql.limit('$candidates')}`,
  )
  const first = `
    select c.id from ${candidates}
    where not exists (select 1 from ${jobs} x where x.name = j.value and x.paused)
    order by ${order('c')} ${sql.limit('$candidates')}`
  const take = (where: string) => `
    update ${runs} set
      status = '${transitions.claim.to}',
      ready = false,
      worker = $workerId::text,
      generation = generation + 1,
      holds_key = (concurrency_key is not null),
      started_at = coalesce(started_at, $now::int8),
      expire_at = null,
      updated_at = $now::int8
    where ${where}
    returning *`
  const takeFirst = sql.writersAreAlone
    ? chooseThenTake(sql, first, take)
    : takeWhatIsFree(sql, first, take)

  return async (session, { workerId, jobs: known, limit }, now) => {
    if (limit < 1 || known.length === 0) return []
    const rows = await takeFirst(session, { workerId, now, limit, jobs: JSON.stringify(known) })
    const taken = rows.map((row) => ({ row, run: toRunRecord(row) })).sort(inOrder)
    const entries = await append(
      session,
      taken.map(({ row, run }) => ({ row, entry: startEntry(run, now) })),
    )
    return taken.map(({ run }, i) => ({ run, entry: entries[i] as Entry }))
  }
}

function claimable(sql: Sql, status: string): string {
  return `${sql.unsearched(status)} ${allowedFrom('claim')}`
}

/** In two statements: an update that looks for its rows itself costs SQLite twice as much as the two. */
function chooseThenTake(sql: Sql, first: string, take: (where: string) => string): TakeFirst {
  const choose = sql.read(first)
  const isChosen = `id in (select t.value from ${sql.texts('t', '$ids')})`
  const update = sql.write(take(`${isChosen} and ${claimable(sql, 'status')}`))
  return async (session, { jobs, now, limit, workerId }) => {
    const chosen = await session.rows(choose, { jobs, now, candidates: limit })
    if (chosen.length === 0) return []
    const ids = JSON.stringify(chosen.map(({ id }) => id))
    return session.rows(update, { workerId, now, ids })
  }
}

// How many more runs a claim looks at than it takes, because other workers lock some of them meanwhile.
const SPARE_CANDIDATES = 32
// More than any claim asks for. A plan that is made for any limit counts on it; else it would count on the whole table.
const MAX_CANDIDATES = 2000

/** One run after the other in their order, until enough are taken; what others have locked is passed by. */
function takeWhatIsFree(sql: Sql, first: string, take: (where: string) => string): TakeFirst {
  const free = sql.searchEach(
    `(select d.id from (${first}) as d limit ${MAX_CANDIDATES}) as c`,
    'r',
    sql.tables.runs,
    `where p.id = c.id and p.ready and ${claimable(sql, 'p.status')}
    limit 1 ${sql.skipLocked}`,
  )
  const update = sql.write(`
    with chosen as materialized (select r.id from ${free} ${sql.limit('$limit')})
    ${take('id in (select id from chosen)')}`)
  return (session, params) =>
    session.rows(update, { ...params, candidates: params.limit + SPARE_CANDIDATES })
}

/** The entry that says that `run` starts, or starts again, under its present lease. */
function startEntry(run: RunRecord, now: number): Omit<Entry, 'seq'> {
  return {
    runId: run.id,
    generation: run.generation,
    kind: transitions.claim.event,
    name: null,
    at: now,
    data: entryData('run:start', { attempt: run.attempt }),
  }
}

function inOrder({ run: a }: Taken, { run: b }: Taken): number {
  return b.priority - a.priority || a.dueAt - b.dueAt || (a.id < b.id ? -1 : 1)
}
