import { terminalStatuses } from '../../core/transitions.ts'
import type { RunQuery, Store } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Row, Session } from './database.ts'
import type { LockRuns } from './lock-runs.ts'
import { createRemoveTraces } from './remove-traces.ts'
import type { Sql } from './sql.ts'

export function createPurge(sql: Sql, database: Database, lockRuns: LockRuns): Store['purge'] {
  const removeTraces = createRemoveTraces(sql)
  const remove = sql.write(`
    delete from ${sql.tables.runs}
    where id in (select t.value from ${sql.texts('t', '$ids')})
      and ${sql.unsearched('status')} ${allowedFrom('delete')}
      and completed_at < $before::int8
    returning number, id, inbox, created_at`)

  async function purge(session: Session, ids: readonly string[], before: number, now: number) {
    await lockRuns(session, ids)
    const removed = await session.rows(remove, { ids: JSON.stringify(ids), before })
    await removeTraces(session, removed, now)
    return removed.map(idOf)
  }

  return async (filter, before, limit, now) => {
    const { text, params } = searchEnded(sql, filter)
    const search = sql.read(text)
    for (;;) {
      const found = (await database.rows(search, { ...params, before, limit })).map(idOf)
      if (found.length === 0) return []
      const removed = await database.transaction((session) => purge(session, found, before, now))
      // Else another purge was faster with all of them, and there may be more.
      if (removed.length > 0) return removed
    }
  }
}

function idOf(row: Row): string {
  return row.id as string
}

/** Of a job, its statuses are walked from the oldest run; else the runs from the one that ended first. */
function searchEnded(sql: Sql, { jobName, statuses, labels }: RunQuery) {
  const params: Record<string, unknown> = { job: jobName }
  const wanted = terminalStatuses.filter(
    (status) => statuses === undefined || statuses.length === 0 || statuses.includes(status),
  )
  const hasLabels = Object.entries(labels ?? {}).map(([name, value], i) => {
    params[`name${i}`] = name
    params[`value${i}`] = value
    return `and exists (
      select 1 from ${sql.tables.labels} l
      where l.name = $name${i}::text and l.value = $value${i}::text and l.run_id = r.id)`
  })
  const search = (condition: string, order: string) => `
    select * from (
      select r.id from ${sql.tables.runs} r
      where ${condition} and r.completed_at is not null and r.completed_at < $before::int8
        ${hasLabels.join(' ')}
      order by ${order} ${sql.limit('$limit')}
    ) as a`
  if (jobName === undefined) {
    // All that ended has one of them.
    const isAny = wanted.length === terminalStatuses.length
    const list = wanted.length === 0 ? 'null' : wanted.map((status) => `'${status}'`).join(', ')
    const condition = isAny ? 'true' : `${sql.unsearched('r.status')} in (${list})`
    return { text: search(condition, 'r.completed_at, r.id'), params }
  }
  // A range in the order of their index, as in the lists of runs, so that no planner takes another.
  const arms = wanted.map((status) => {
    const value = `($job::text, '${status}')`
    return search(
      `(r.job, r.status) >= ${value} and (r.job, r.status) <= ${value}`,
      'r.job, r.status, r.id',
    )
  })
  const text = arms.length === 0 ? search('false', 'r.id') : arms.join(' union all ')
  return { text: `select u.id from (${text}) as u ${sql.limit('$limit')}`, params }
}
