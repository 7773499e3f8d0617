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

/** Throws `ValidationError` unless the query names a run. */
export function readRunId(query: URLSearchParams): string {
  const runId = query.get('runId')
  if (runId === null || runId === '') throw new ValidationError('runId query parameter is required')
  return runId
}

/** A whole number; null when the query has none of this name. */
export function readCount(query: URLSearchParams, name: string): number | null {
  const text = query.get(name)
  return text === null ? null : parseCount(text, name)
}

/** Throws `ValidationError` that names it unless it is a whole number. */
export function parseCount(text: string, name: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new ValidationError(`${name} must be a whole number; got ${show(text)}`)
}

export function readFilterQuery(query: URLSearchParams): FilterQuery {
  const labels = [...query].flatMap(([name, value]) =>
    name.startsWith('label.') ? [[name.slice('label.'.length), value] as const] : [],
  )
  const jobName = query.get('jobName')
  return {
    labels: Object.fromEntries(labels),
    ...(jobName === null ? {} : { jobName }),
  }
}

export function readPageQuery(query: URLSearchParams): PageQuery {
  const statuses = query.getAll('status')
  const cursor = query.get('cursor')
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
