import { entryData, type Entry } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import { transitions } from '../../core/transitions.ts'
import { byPriority } from '../claim-order.ts'
import type { Claim, ClaimRequest } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Session } from './database.ts'
import type { Append } from './journal.ts'
import { claimedColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'
import { leasedUntil, renewForClaim, type Workers } from './workers.ts'

/** Gives a worker the first claimable runs of its jobs, and sees to its lease if there are any. */
export interface ClaimSteps {
  /** As the last of a transaction. */
  within(session: Session, request: ClaimRequest, now: number): Promise<Claim[]>
  /** By itself. Where nothing is claimable, nothing is written. */
  alone(request: ClaimRequest, now: number): Promise<Claim[]>
}

interface Parts {
  readonly append: Append
  readonly workers: Workers
}

export function createClaim(sql: Sql, database: Database, parts: Parts): ClaimSteps {
  return sql.changesInQueries
    ? takeInOneStatement(sql, database)
    : chooseThenTake(sql, database, parts)
}

/** What both ways of claiming are made of. */
function createTexts(sql: Sql) {
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
  return {
    first: (columns: string) => `
    select ${columns} from ${candidates}
    where not exists (select 1 from ${jobs} x where x.name = j.value and x.paused)
    order by ${order('c')} ${sql.limit('$candidates')}`,
    take: (where: string) => `
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
    returning ${claimedColumns}`,
  }
}

function claimable(sql: Sql, status: string): string {
  return `${sql.unsearched(status)} ${allowedFrom('claim')}`
}

/** In two statements: an update that looks for its rows itself costs SQLite twice as much as the two. */
function chooseThenTake(sql: Sql, database: Database, { append, workers }: Parts): ClaimSteps {
  const { first, take } = createTexts(sql)
  const choose = sql.read(first('c.id'))
  const isChosen = `id in (select t.value from ${sql.texts('t', '$ids')})`
  // Where they were chosen before the transaction, they may have changed since.
  const isOpen = `ready and (expire_at is null or expire_at > $now::int8)`
  const isPaused = `exists (select 1 from ${sql.tables.jobs} x where x.name = job and x.paused)`
  const leased = leasedUntil(sql, 'worker', '$jobs::text')
  const update = sql.write(
    `${take(
      `${isChosen} and ${isOpen} and ${claimable(sql, 'status')} and not ${isPaused}`,
    )}, ${leased}`,
  )

  async function chosen(session: Session, request: ClaimRequest, now: number): Promise<unknown[]> {
    const { limit } = request
    if (limit < 1 || request.jobs.length === 0) return []
    const jobs = JSON.stringify(request.jobs)
    const rows = await session.rows(choose, { jobs, candidates: limit, now })
    return rows.map(({ id }) => id)
  }

  async function claim(
    session: Session,
    ids: readonly unknown[],
    request: ClaimRequest,
    now: number,
  ): Promise<Claim[]> {
    if (ids.length === 0) return []
    const { workerId } = request
    const jobs = JSON.stringify(request.jobs)
    const rows = await session.rows(update, { workerId, jobs, now, ids: JSON.stringify(ids) })
    const taken = rows.map((row) => ({ row, run: toRunRecord(row) }))
    const [first] = rows
    if (first === undefined) return []
    await workers.renewUnlessFresh(session, request, first.leased_until, now)
    const entries = await append(
      session,
      taken.map(({ row, run }) => ({ row, entry: startEntry(run, now) })),
    )
    return taken.map(({ run }, i) => ({ run, entry: entries[i] as Entry }))
  }

  async function within(session: Session, request: ClaimRequest, now: number): Promise<Claim[]> {
    const claims = await claim(session, await chosen(session, request, now), request, now)
    return claims.sort(inOrder)
  }

  return {
    within,
    alone: async (request, now) => {
      // Without the lock first, for which others may be waiting.
      const ids = await chosen(database, request, now)
      if (ids.length === 0) return []
      return database.transaction(async (session) => {
        const claims = await claim(session, ids, request, now)
        // Others were faster.
        const limit = ids.length - claims.length
        const more = limit > 0 ? await within(session, { ...request, limit }, now) : []
        return [...claims, ...more].sort(inOrder)
      })
    },
  }
}

// How many more runs a claim looks at than it takes, because other workers lock some of them meanwhile.
const SPARE_CANDIDATES = 32
// More than any claim asks for. A plan that is made for any limit counts on it; else it would count on the whole table.
const MAX_CANDIDATES = 2000

/**
 * Where each statement is a way to the database and back. One run after the other in their order, until enough are
 * taken; what others have locked is passed by. The worker's row is locked before them. An entry that came into a run's
 * journal since the statement began is not seen by it, and stands where the run's own is to go: that is a conflict,
 * and the transaction is sent again.
 */
function takeInOneStatement(sql: Sql, database: Database): ClaimSteps {
  const { journal, runs } = sql.tables
  const { first, take } = createTexts(sql)
  const candidates = `
    select f.id from first f where exists (select 1 from renewed) limit ${MAX_CANDIDATES}`
  const free = sql.searchEach(
    `(${candidates}) as c`,
    'r',
    runs,
    `where p.id = c.id and p.ready and ${claimable(sql, 'p.status')}
    limit 1 ${sql.skipLocked}`,
  )
  const statement = sql.write(`
    with first as materialized (${first('c.id')}),
      renewed as (${renewForClaim(sql, 'exists (select 1 from first)')} returning id),
      chosen as materialized (select r.id from ${free} ${sql.limit('$limit')}),
      taken as (${take('id in (select id from chosen)')}),
      told as (
        insert into ${journal} (run, seq, generation, kind, name, at, data)
        select t.number,
          coalesce((select max(e.seq) from ${journal} e where e.run = t.number), 0) + 1,
          t.generation, '${transitions.claim.event}', null, $now::int8, ${startData('t.attempt')}
        from taken t
        returning run, seq
      )
    select t.*, o.seq as started_at_seq from taken t join told o on o.run = t.number`)

  async function claim(session: Session, request: ClaimRequest, now: number): Promise<Claim[]> {
    const { workerId, leaseMs, limit } = request
    if (limit < 1 || request.jobs.length === 0) return []
    const jobs = JSON.stringify(request.jobs)
    const candidates = limit + SPARE_CANDIDATES
    const times = { now, leaseMs, ...database.leaseTime(now) }
    const rows = await session.rows(statement, { workerId, jobs, limit, candidates, ...times })
    const claims = rows.map((row): Claim => {
      const run = toRunRecord(row)
      return { run, entry: { ...startEntry(run, now), seq: Number(row.started_at_seq) } }
    })
    return claims.sort(inOrder)
  }

  return { within: claim, alone: (request, now) => claim(database, request, now) }
}

/** The data of a start entry, made of the attempt by the database. */
function startData(attempt: string): string {
  const [before, after] = entryData('run:start', { attempt: 0 }).split('0')
  return `'${before}' || ${attempt} || '${after}'`
}

/** The entry that says that `run` starts, or starts again, under its present lease. */
export function startEntry(run: RunRecord, now: number): Omit<Entry, 'seq'> {
  return {
    runId: run.id,
    generation: run.generation,
    kind: transitions.claim.event,
    name: null,
    at: now,
    data: entryData('run:start', { attempt: run.attempt }),
  }
}

/** Which of two runs is claimed first. */
export function inOrder({ run: a }: Claim, { run: b }: Claim): number {
  return byPriority(a, b)
}
