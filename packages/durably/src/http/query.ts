import { ValidationError } from '../core/error.ts'
import { readStatuses } from '../core/filter.ts'
import { show } from '../core/show.ts'
import type { RunStatus } from '../core/transitions.ts'
import type { Labels } from '../core/run.ts'

/** Which runs a query asks for. */
export interface FilterQuery {
  /** As given: a name, or a key. */
  readonly jobName?: string
  readonly labels: Labels
}

export interface PageQuery extends FilterQuery {
  readonly statuses?: readonly RunStatus[]
  readonly limit: number
  readonly offset: number
  readonly cursor?: string
}

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 1000
/** Further back the way goes by `cursor`, which costs the same for every page. */
const MAX_OFFSET = 10_000

const LABEL = 'label.'
const LIKE_A_FILTER = /^(?:job|label|status|limit|offset|cursor)/i

/** Throws `ValidationError` for a parameter of another name: misspelt, a filter would choose everything. */
function requireParameters(names: readonly string[], known: readonly string[]): void {
  for (const name of names) {
    if (name.startsWith(LABEL) || known.includes(name)) continue
    throw new ValidationError(
      `unknown parameter ${show(name)}; the parameters are ${[...known, `${LABEL}<name>`].join(', ')}`,
    )
  }
}

/** What has one value. Throws `ValidationError` where it has several: which of them was meant nobody knows. */
export function readOne(query: URLSearchParams, name: string): string | null {
  const [value = null, ...others] = query.getAll(name)
  if (others.length === 0) return value
  throw new ValidationError(
    `${name} must stand in the query once; got it ${others.length + 1} times`,
  )
}

/** Throws `ValidationError` unless the query names a run. */
export function readRunId(query: URLSearchParams): string {
  const runId = readOne(query, 'runId')
  if (runId === null || runId === '') throw new ValidationError('runId query parameter is required')
  return runId
}

/** A whole number; null when the query has none of this name. */
export function readCount(query: URLSearchParams, name: string): number | null {
  const text = readOne(query, name)
  return text === null ? null : parseCount(text, name)
}

/** Throws `ValidationError` that names it unless it is a whole number. */
export function parseCount(text: string, name: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new ValidationError(`${name} must be a whole number; got ${show(text)}`)
}

/** Of a stream: what else stands there may be for `authenticate`, for an `EventSource` sends no headers. */
export function readChangesQuery(query: URLSearchParams): FilterQuery {
  const meant = [...query.keys()].filter((name) => LIKE_A_FILTER.test(name))
  requireParameters(meant, ['jobName'])
  return readFilterQuery(query)
}

function readFilterQuery(query: URLSearchParams): FilterQuery {
  const names = [...query.keys()].filter((name) => name.startsWith(LABEL))
  const labels = names.map((name) => [name.slice(LABEL.length), readOne(query, name) ?? ''])
  const jobName = readOne(query, 'jobName')
  return {
    labels: Object.fromEntries(labels) as Labels,
    ...(jobName === null ? {} : { jobName }),
  }
}

export function readPageQuery(query: URLSearchParams): PageQuery {
  requireParameters([...query.keys()], ['jobName', 'status', 'limit', 'offset', 'cursor'])
  const statuses = query.getAll('status')
  const cursor = readOne(query, 'cursor')
  const limit = readCount(query, 'limit') ?? DEFAULT_LIMIT
  if (limit < 1 || limit > MAX_LIMIT) {
    throw new ValidationError(`limit must be from 1 to ${MAX_LIMIT}; got ${limit}`)
  }
  const offset = readCount(query, 'offset') ?? 0
  if (offset > MAX_OFFSET) {
    throw new ValidationError(`offset must be at most ${MAX_OFFSET}; got ${offset}. Use cursor`)
  }
  return {
    ...readFilterQuery(query),
    limit,
    offset,
    ...(statuses.length === 0 ? {} : { statuses: readStatuses(statuses) }),
    ...(cursor === null ? {} : { cursor }),
  }
}
