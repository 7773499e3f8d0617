import { entryData } from '../../core/journal.ts'
import { isLegal, transitions, type RunStatus } from '../../core/transitions.ts'
import type { Fact, Store } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Row, Session } from './database.ts'
import { setEnded } from './ending.ts'
import type { RecordFacts } from './facts.ts'
import { countKeys, type Keys } from './keys.ts'
import type { LockRuns } from './lock-runs.ts'
import type { Sql } from './sql.ts'
import type { Waiters } from './waiters.ts'
import { setWoken } from './wake.ts'

export interface PromoteSteps {
  readonly recordFacts: RecordFacts
  readonly keys: Keys
  readonly lockRuns: LockRuns
  readonly waiters: Waiters
}

export function createPromote(sql: Sql, database: Database, steps: PromoteSteps): Store['promote'] {
  const { recordFacts, keys, lockRuns, waiters } = steps
  const findDue = sql.read(`
    select r.id, r.status, r.concurrency_key from ${sql.tables.runs} r
    where r.wake_at is not null and r.wake_at <= $now::int8
      and r.id not in (select t.value from ${sql.texts('t', '$expired')})
    order by r.wake_at, r.id ${sql.limit('$limit')}`)
  const findExpired = sql.read(`
    select r.id, r.concurrency_key from ${sql.tables.runs} r where ${isExpired(sql)}
    order by r.expire_at, r.due_at, r.id ${sql.limit('$limit')}`)
  const expire = createExpire(sql, recordFacts)
  const makeClaimable = createMakeClaimable(sql, recordFacts)

  async function promote(
    session: Session,
    due: readonly Row[],
    expired: readonly Row[],
    now: number,
  ): Promise<Fact[]> {
    const counts = countKeys([...due, ...expired].map(keyOf))
    for (const key of counts.keys()) counts.set(key, 0)
    await keys.lock(session, counts)
    const watchers = await waiters.of(session, expired.map(idOf))
    const heads = await keys.heads(session, counts.keys(), expired.map(idOf))
    const others = [...watchers, ...heads]
    const locked = await lockRuns(session, [...others, ...[...due, ...expired].map(idOf)])
    const cancelled = await expire(session, expired, now)
    const ended = new Set(cancelled.map(({ run }) => run.id))
    const targets = expired.map(idOf).filter((id) => ended.has(id))
    const told = await waiters.tell(session, { targets, locked }, now)
    const woken = await makeClaimable(session, due, now)
    await keys.leave(session, countKeys(cancelled.map(({ run }) => run.concurrencyKey)))
    await keys.settle(session, counts.keys())
    return [...cancelled, ...told, ...woken]
  }

  return async (limit, now) => {
    const expired = await database.rows(findExpired, { now, limit })
    const due = await database.rows(findDue, { now, limit, expired: idsOf(expired) })
    if (due.length === 0 && expired.length === 0) return []
    return database.transaction((session) => promote(session, due, expired, now))
  }
}

type Promote = (session: Session, rows: readonly Row[], now: number) => Promise<Fact[]>

function createExpire(sql: Sql, recordFacts: RecordFacts): Promote {
  const expire = sql.write(`
    update ${sql.tables.runs} as r set ${setEnded(transitions.expire.to)}
    where ${isOneOf(sql)} and ${isExpired(sql)}
    returning id`)

  return async (session, expired, now) => {
    if (expired.length === 0) return []
    const gone = await session.rows(expire, { now, ids: idsOf(expired) })
    return recordFacts(session, gone.map(idOf), {
      kind: transitions.expire.event,
      at: now,
      data: () => entryData('run:cancel', { reason: 'ttl' }),
    })
  }
}

/** Of runs that were delayed nothing is announced; those that wait are woken. */
function createMakeClaimable(sql: Sql, recordFacts: RecordFacts): Promote {
  const isDue = (transition: 'claim' | 'wake') =>
    `r.wake_at <= $now::int8 and ${sql.unsearched('r.status')} ${allowedFrom(transition)}`
  // One with a key joins the line of its key, which decides.
  const join = sql.write(`
    update ${sql.tables.runs} as r set ready = (concurrency_key is null), wake_at = null
    where ${isOneOf(sql)} and ${isDue('claim')}`)
  const wake = sql.write(`
    update ${sql.tables.runs} as r set ${setWoken}
    where ${isOneOf(sql)} and ${isDue('wake')}
    returning id`)

  return async (session, due, now) => {
    const waits = (row: Row) => isLegal('wake', row.status as RunStatus)
    const waiting = due.filter(waits)
    const delayed = due.filter((row) => !waits(row))
    if (delayed.length > 0) await session.change(join, { now, ids: idsOf(delayed) })
    if (waiting.length === 0) return []
    const woken = await session.rows(wake, { now, ids: idsOf(waiting) })
    return recordFacts(session, woken.map(idOf), {
      kind: transitions.wake.event,
      at: now,
      data: () => entryData('run:wake', { reason: 'due' }),
    })
  }
}

function isExpired(sql: Sql): string {
  return `
    r.expire_at <= $now::int8 and r.expire_at is not null and r.completed_at is null
    and ${sql.unsearched('r.status')} ${allowedFrom('expire')}`
}

function isOneOf(sql: Sql): string {
  return `r.id in (select t.value from ${sql.texts('t', '$ids')})`
}

function keyOf(row: Row): string | null {
  return row.concurrency_key as string | null
}

function idOf(row: Row): string {
  return row.id as string
}

function idsOf(rows: readonly Row[]): string {
  return JSON.stringify(rows.map(idOf))
}
