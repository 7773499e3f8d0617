import { entryData, type Entry } from '../../core/journal.ts'
import { isFresh, LEASE_PARTS } from '../../core/lease.ts'
import type { RunRecord } from '../../core/run.ts'
import { transitions } from '../../core/transitions.ts'
import type { Claim, ClaimRequest } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Session } from './database.ts'
import type { Append } from './journal.ts'
import { claimedColumns, toNumber, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'
import { renewWorker, type Workers } from './workers.ts'

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
  const isWorker = 'w.id = $workerId::text and w.jobs = $jobs::text'
  const leasedUntil = `(select w.expires_at from ${sql.tables.workers} w where ${isWorker}) as leased_until`
  const choose = sql.read(first(`c.id, ${leasedUntil}`))
  const isChosen = `id in (select t.value from ${sql.texts('t', '$ids')})`
  const update = sql.write(take(`${isChosen} and ${claimable(sql, 'status')}`))

  async function chosen(session: Session, request: ClaimRequest, now: number) {
    const { workerId, limit } = request
    if (limit < 1 || request.jobs.length === 0) return []
    const jobs = JSON.stringify(request.jobs)
    return session.rows(choose, { workerId, jobs, candidates: limit, now })
  }

  /** Where the clock of the database counts, nobody knows here how much is left. */
  function isLeased(until: unknown, leaseMs: number, now: number): boolean {
    const { leaseNow } = database.leaseTime(now)
    const expiresAt = toNumber(until)
    return leaseNow !== null && expiresAt !== null && isFresh(expiresAt - leaseNow, leaseMs)
  }

  async function within(session: Session, request: ClaimRequest, now: number): Promise<Claim[]> {
    const found = await chosen(session, request, now)
    const [first] = found
    if (first === undefined) return []
    if (!isLeased(first.leased_until, request.leaseMs, now)) {
      await workers.renew(session, request, now, request.jobs)
    }
    const ids = JSON.stringify(found.map(({ id }) => id))
    const rows = await session.rows(update, { workerId: request.workerId, now, ids })
    const taken = rows.map((row) => ({ row, run: toRunRecord(row) }))
    const entries = await append(
      session,
      taken.map(({ row, run }) => ({ row, entry: startEntry(run, now) })),
    )
    return taken.map(({ run }, i) => ({ run, entry: entries[i] as Entry })).sort(inOrder)
  }

  return {
    within,
    alone: async (request, now) => {
      // Without the lock first, for which others may be waiting.
      if ((await chosen(database, request, now)).length === 0) return []
      return database.transaction((session) => within(session, request, now))
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
  const gone = `($leaseMs::int8 - w.expires_at + ${sql.leaseNow})`
  const isYoung = `${gone} * ${LEASE_PARTS} between 0 and $leaseMs::int8`
  const isLeased = `w.jobs = $jobs::text and ${isYoung}`
  const expiresAt = `case when ${isLeased} then w.expires_at else excluded.expires_at end`
  const statement = sql.write(`
    with first as materialized (${first('c.id')}),
      renewed as (${renewWorker(sql, 'exists (select 1 from first)', expiresAt)} returning id),
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

function inOrder({ run: a }: Claim, { run: b }: Claim): number {
  return b.priority - a.priority || a.dueAt - b.dueAt || (a.id < b.id ? -1 : 1)
}
