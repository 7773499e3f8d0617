import { entryData, type Entry } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import { transitions } from '../../core/transitions.ts'
import type { Claim, ClaimRequest } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Session } from './database.ts'
import type { Append } from './journal.ts'
import { toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

/** Gives a worker the first claimable runs of its jobs. */
export type TakeRuns = (session: Session, request: ClaimRequest, now: number) => Promise<Claim[]>

// More than any claim asks for. A plan that is made for any limit counts on it; else it would count on the whole table.
const MAX_CANDIDATES = 2000

export function createClaim(sql: Sql, append: Append): TakeRuns {
  const { runs, jobs } = sql.tables
  const order = (run: string) => `${run}.priority desc, ${run}.due_at, ${run}.id`
  // Each job is searched in its own part of the index: what is ready of other jobs is never seen.
  const candidates = sql.searchEach(
    sql.texts('j', '$jobs'),
    'c',
    runs,
    `where p.job = j.value and p.ready and (p.expire_at is null or p.expire_at > $now::int8)
    order by ${order('p')} limit $candidates::int8`,
  )
  const first = `(
    select d.id from (
      select c.id from ${candidates}
      where not exists (select 1 from ${jobs} x where x.name = j.value and x.paused)
      order by ${order('c')} limit $candidates::int8
    ) as d limit ${MAX_CANDIDATES}
  ) as c`
  // One after the other in that order, until enough are taken; what others have locked is passed by.
  const free = sql.searchEach(
    first,
    'r',
    runs,
    `where p.id = c.id and p.ready and ${sql.unsearched('p.status')} ${allowedFrom('claim')}
    limit 1 ${sql.skipLocked}`,
  )
  const take = sql.write(`
    with chosen as materialized (select r.id from ${free} limit $limit::int8)
    update ${runs} set
      status = '${transitions.claim.to}',
      ready = false,
      worker = $workerId::text,
      generation = generation + 1,
      holds_key = (concurrency_key is not null),
      started_at = coalesce(started_at, $now::int8),
      expire_at = null,
      updated_at = $now::int8
    where id in (select id from chosen)
    returning *`)

  return async (session, { workerId, jobs: known, limit }, now) => {
    if (limit < 1 || known.length === 0) return []
    const rows = await session.rows(take, {
      workerId,
      now,
      limit,
      candidates: limit + sql.spareCandidates,
      jobs: JSON.stringify(known),
    })
    const taken = rows.map(toRunRecord).sort(inOrder)
    const entries = await append(
      session,
      taken.map((run) => startEntry(run, now)),
    )
    return taken.map((run, i) => ({ run, entry: entries[i] as Entry }))
  }
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

function inOrder(a: RunRecord, b: RunRecord): number {
  return b.priority - a.priority || a.dueAt - b.dueAt || (a.id < b.id ? -1 : 1)
}
