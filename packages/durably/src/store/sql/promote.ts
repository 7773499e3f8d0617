import { entryData } from '../../core/journal.ts'
import { transitions } from '../../core/transitions.ts'
import type { Fact, Store } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Row, Session } from './database.ts'
import { setEnded } from './ending.ts'
import type { RecordFacts } from './facts.ts'
import { countKeys, type Keys } from './keys.ts'
import type { Sql } from './sql.ts'

export interface PromoteSteps {
  readonly recordFacts: RecordFacts
  readonly keys: Keys
}

export function createPromote(sql: Sql, database: Database, steps: PromoteSteps): Store['promote'] {
  const { recordFacts, keys } = steps
  const { runs } = sql.tables
  const findDue = sql.read(`
    select r.id, r.concurrency_key from ${runs} r
    where r.wake_at is not null and r.wake_at <= $now::int8
      and r.id not in (select t.value from ${sql.texts('t', '$expired')})
    order by r.wake_at, r.id limit $limit::int8`)
  const isExpired = `
    r.expire_at <= $now::int8 and r.expire_at is not null and r.completed_at is null
    and ${sql.unsearched('r.status')} ${allowedFrom('expire')}`
  const findExpired = sql.read(`
    select r.id, r.concurrency_key from ${runs} r where ${isExpired}
    order by r.expire_at, r.due_at, r.id limit $limit::int8`)
  const lockWhere = (condition: string) => `
    select r.id from ${runs} r
    where r.id in (select t.value from ${sql.texts('t', '$ids')}) and ${condition}
    order by r.id ${sql.forUpdate}`
  const expire = sql.write(`
    update ${runs} set ${setEnded(transitions.expire.to)}
    where id in (${lockWhere(isExpired)})
    returning id`)
  // One with a key joins the line of its key, which decides.
  const wake = sql.write(`
    update ${runs} set ready = (concurrency_key is null), wake_at = null
    where id in (${lockWhere('r.wake_at <= $now::int8')})`)

  async function promote(
    session: Session,
    due: readonly Row[],
    expired: readonly Row[],
    now: number,
  ): Promise<Fact[]> {
    const counts = countKeys([...due, ...expired].map(keyOf))
    for (const key of counts.keys()) counts.set(key, 0)
    await keys.lock(session, counts)
    const gone = await session.rows(expire, { now, ids: idsOf(expired) })
    const cancelled = await recordFacts(session, gone.map(idOf), {
      kind: transitions.expire.event,
      at: now,
      data: () => entryData('run:cancel', { reason: 'ttl' }),
    })
    await session.change(wake, { now, ids: idsOf(due) })
    await keys.leave(session, countKeys(cancelled.map(({ run }) => run.concurrencyKey)))
    await keys.settle(session, counts.keys())
    return cancelled
  }

  return async (limit, now) => {
    const expired = await database.rows(findExpired, { now, limit })
    const due = await database.rows(findDue, { now, limit, expired: idsOf(expired) })
    if (due.length === 0 && expired.length === 0) return []
    return database.transaction((session) => promote(session, due, expired, now))
  }
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
