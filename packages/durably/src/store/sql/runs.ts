import type { RunRecord } from '../../core/run.ts'
import { runStatuses } from '../../core/transitions.ts'
import type { RunQuery } from '../store.ts'
import type { Database } from './database.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

// As good as none, and within reach of every database's integers.
const NO_LIMIT = 2 ** 31

export function createRuns(sql: Sql, database: Database) {
  return async (query: RunQuery): Promise<RunRecord[]> => {
    const { offset = 0 } = query
    const limit = Math.min(query.limit ?? NO_LIMIT, NO_LIMIT)
    const { ids, params } = searchIds(sql, query)
    const statement = sql.read(`
      select ${runColumns(sql.tables)} from ${sql.tables.runs} r
      where r.id in (
        select u.id from (${ids}) as u order by u.id desc ${sql.limit('$limit')} offset $offset::int8)
      order by r.id desc`)
    const values = {
      ...params,
      limit,
      offset,
      reach: Math.min(limit + offset, Number.MAX_SAFE_INTEGER),
    }
    return (await database.rows(statement, values)).map(toRunRecord)
  }
}

interface Search {
  /** Selects at least the first `$reach` ids of what is wanted. */
  readonly ids: string
  readonly params: Readonly<Record<string, unknown>>
}

/** Every search walks one index from its newest entry, so that a page costs the same wherever it is. */
function searchIds(sql: Sql, query: RunQuery): Search {
  const labels = Object.entries(query.labels ?? {})
  const params: Record<string, unknown> = { job: query.jobName, cursor: query.cursor }
  labels.forEach(([name, value], i) => {
    params[`name${i}`] = name
    params[`value${i}`] = value
  })
  query.statuses?.forEach((status, i) => {
    params[`status${i}`] = status
  })
  const ids = labels.length > 0 ? idsByLabels(sql, query, labels.length) : idsByStatus(sql, query)
  return { ids, params }
}

/** One search for each status, then merged: a rare status is not looked for among the others. */
function idsByStatus(sql: Sql, query: RunQuery): string {
  const search = (columns: Readonly<Record<string, string>>) => {
    const { where, order } = walk(columns, 'r.id', query)
    return `
    select * from (
      select r.id from ${sql.tables.runs} r where ${where} order by ${order} ${sql.limit('$reach')}
    ) as a`
  }
  const job = query.jobName === undefined ? {} : { 'r.job': '$job::text' }
  if (query.statuses !== undefined && query.statuses.length > 0) {
    const arms = query.statuses.map((_, i) => search({ ...job, 'r.status': `$status${i}::text` }))
    return arms.join(' union all ')
  }
  if (query.jobName === undefined) return search({})
  return runStatuses
    .map((status) => search({ ...job, 'r.status': `'${status}'` }))
    .join(' union all ')
}

function idsByLabels(sql: Sql, query: RunQuery, count: number): string {
  const { labels, runs } = sql.tables
  const first = { 'l0.name': '$name0::text', 'l0.value': '$value0::text' }
  const { where, order } = walk(first, 'l0.run_id', query)
  const others = Array.from({ length: count - 1 }, (_, i) => {
    const label = `l.name = $name${i + 1}::text and l.value = $value${i + 1}::text`
    return `exists (select 1 from ${labels} l where l.run_id = l0.run_id and ${label})`
  })
  const statuses = query.statuses?.map((_, i) => `$status${i}::text`) ?? []
  const ofRun = [
    ...(query.jobName === undefined ? [] : ['r.job = $job::text']),
    ...(statuses.length === 0 ? [] : [`r.status in (${statuses.join(', ')})`]),
  ]
  const run = `exists (select 1 from ${runs} r where ${['r.id = l0.run_id', ...ofRun].join(' and ')})`
  const conditions = [where, ...others, ...(ofRun.length === 0 ? [] : [run])]
  return `
    select * from (
      select l0.run_id as id from ${labels} l0
      where ${conditions.join(' and ')}
      order by ${order} ${sql.limit('$reach')}
    ) as a`
}

/**
 * What of an index has `columns` as given, from the newest id on. It is said as a range in the order of that index:
 * of equal values PostgreSQL takes it that a walk through all runs meets some soon, and may walk through all of them.
 */
function walk(columns: Readonly<Record<string, string>>, id: string, { cursor }: RunQuery) {
  const names = Object.keys(columns)
  const values = Object.values(columns)
  const bounds = [
    ...(names.length === 0 ? [] : [`${row(names)} >= ${row(values)}`]),
    ...(names.length === 0 || cursor !== undefined ? [] : [`${row(names)} <= ${row(values)}`]),
    ...(cursor === undefined
      ? []
      : [`${row([...names, id])} < ${row([...values, '$cursor::text'])}`]),
  ]
  return {
    where: bounds.length === 0 ? 'true' : bounds.join(' and '),
    order: [...names, id].map((name) => `${name} desc`).join(', '),
  }
}

function row(parts: readonly string[]): string {
  return `(${parts.join(', ')})`
}
