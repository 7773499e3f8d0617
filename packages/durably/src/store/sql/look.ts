import type { Outlook } from '../store.ts'
import type { Database } from './database.ts'
import type { Sql } from './sql.ts'
import { toBoolean, toNumber } from './run-row.ts'
import { isAhead } from './workers.ts'

export function createLook(sql: Sql, database: Database) {
  const { runs, jobs, workers } = sql.tables
  const look = sql.read(`
    select
      exists (
        select 1 from ${sql.texts('j', '$jobs')}
        where not exists (select 1 from ${jobs} x where x.name = j.value and x.paused)
          and exists (
            select 1 from ${runs} r
            where r.job = j.value and r.ready and (r.expire_at is null or r.expire_at > $now::int8))
      ) as ready,
      (select min(r.wake_at) from ${runs} r where r.wake_at is not null) as wake_at,
      (select min(r.expire_at) from ${runs} r
        where r.expire_at is not null and r.completed_at is null) as expire_at,
      exists (
        select 1 from ${workers} w
        where (w.expires_at <= ${sql.leaseNow} or ${isAhead(sql, 'w')})
          and exists (select 1 from ${runs} r where r.worker = w.id)
      ) as orphans`)

  return async (known: readonly string[], now: number): Promise<Outlook> => {
    const params = { jobs: JSON.stringify(known), now, ...database.leaseTime(now) }
    const [row] = await database.rows(look, params)
    const times = [toNumber(row?.wake_at ?? null), toNumber(row?.expire_at ?? null)]
    const due = times.filter((time) => time !== null)
    return {
      ready: toBoolean(row?.ready),
      nextDueAt: due.length === 0 ? null : Math.min(...due),
      orphans: toBoolean(row?.orphans),
    }
  }
}
