import type { RunRecord } from '../../core/run.ts'
import type { JournalPage, RunQuery } from '../store.ts'
import { recordOf, type Tables } from './tables.ts'

export function readRun(tables: Tables, id: string): RunRecord | null {
  const row = tables.runs.get(id)
  return row === undefined ? null : recordOf(row)
}

export function listRuns(tables: Tables, query: RunQuery): RunRecord[] {
  const { offset = 0, limit = Number.POSITIVE_INFINITY } = query
  return [...tables.runs.values()]
    .map(recordOf)
    .filter((record) => matches(query, record))
    .sort((a, b) => (a.id < b.id ? 1 : -1))
    .slice(offset, offset + limit)
}

export function readJournal(
  tables: Tables,
  runId: string,
  after: number,
  limit: number,
): JournalPage | null {
  const row = tables.runs.get(runId)
  if (row === undefined) return null
  return { run: recordOf(row), entries: row.journal.slice(after, after + limit) }
}

/** Whether the run is one that the query asks for, on whatever page. */
export function matches(query: RunQuery, record: RunRecord): boolean {
  const { jobName, statuses = [], labels = {}, cursor } = query
  return (
    (jobName === undefined || record.jobName === jobName) &&
    (statuses.length === 0 || statuses.includes(record.status)) &&
    Object.entries(labels).every(([name, value]) => record.labels[name] === value) &&
    (cursor === undefined || record.id < cursor)
  )
}
