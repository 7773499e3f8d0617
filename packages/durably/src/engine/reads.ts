import type { Codec } from '../core/codec.ts'
import {
  MAX_LABELS_OF_FILTER,
  readLabels,
  readStatuses,
  requireFew,
  requireInteger,
} from '../core/filter.ts'
import type { RunFilter } from '../core/handle.ts'
import { requireText } from '../core/require-text.ts'
import type { Entry } from '../core/journal.ts'
import { requireKnown, requireObject, requireOptions, type Names } from '../core/require-object.ts'
import { toListedRun, toRun, type Labels, type Run } from '../core/run.ts'
import { stepsOf, toLog, type Log, type Step } from '../core/step.ts'
import type { RunQuery, Store } from '../store/store.ts'

/** What anyone may know of the runs. */
export interface Reads {
  getRun(runId: string): Promise<Run | null>
  getRuns(filter?: RunFilter): Promise<Run[]>
  getSteps(runId: string): Promise<Step[]>
  getLogs(runId: string, page?: LogPage): Promise<Log[]>
}

/** Which lines of a log: those after a position (default: from the beginning), at most so many (default: all). */
interface LogPage {
  readonly after?: number | undefined
  readonly limit?: number | undefined
}

const PAGE_SIZE = 1000

export function createReads(store: Store, codec: Codec): Reads {
  return {
    async getRun(runId) {
      requireText(runId, 'run id')
      const record = await store.run(runId)
      return record === null ? null : toRun(record, codec)
    },
    async getRuns(filter = {}) {
      const query = readFilter(filter)
      const records = query.limit === 0 ? [] : await store.runs(query)
      return records.map((record) => toListedRun(record, codec))
    },
    async getSteps(runId) {
      const entries: Entry[] = []
      for await (const page of journalOf(store, runId, 0)) entries.push(...page)
      return stepsOf(entries, codec)
    },
    async getLogs(runId, page = {}) {
      requireOptions(page, { after: true, limit: true })
      const { after = 0, limit = Number.MAX_SAFE_INTEGER } = page
      requireInteger(after, 'after', 0, Number.MAX_SAFE_INTEGER)
      requireInteger(limit, 'limit', 0, Number.MAX_SAFE_INTEGER)
      const logs: Log[] = []
      for await (const page of journalOf(store, runId, after)) {
        logs.push(...page.flatMap((entry) => toLog(entry, codec) ?? []))
        if (logs.length >= limit) break
      }
      return logs.slice(0, limit)
    },
  }
}

/** A run's journal after a position, in pages; nothing when there is no such run. */
async function* journalOf(
  store: Store,
  runId: string,
  after: number,
): AsyncGenerator<readonly Entry[]> {
  requireText(runId, 'run id')
  let position = after
  while (true) {
    const page = await store.journal(runId, position, PAGE_SIZE)
    if (page === null) return
    yield page.entries
    if (page.entries.length < PAGE_SIZE) return
    position = page.entries.at(-1)?.seq ?? position
  }
}

const filters: Names<RunFilter> = {
  jobName: true,
  status: true,
  labels: true,
  limit: true,
  offset: true,
  cursor: true,
}

/** The query that a filter asks for. Throws `ValidationError` that names what is wrong. */
export function readFilter(filter: RunFilter): RunQuery {
  requireObject(filter, 'filter')
  requireKnown(filter, filters, '', 'filter')
  const { jobName, status, labels, limit, offset, cursor } = filter
  if (jobName !== undefined) requireText(jobName, 'jobName')
  if (cursor !== undefined) requireText(cursor, 'cursor')
  return {
    ...(jobName === undefined ? {} : { jobName }),
    ...(status === undefined ? {} : { statuses: readStatuses(status) }),
    ...(labels === undefined ? {} : { labels: readChosen(labels) }),
    ...(limit === undefined ? {} : { limit: readCount(limit, 'limit') }),
    ...(offset === undefined ? {} : { offset: readCount(offset, 'offset') }),
    ...(cursor === undefined ? {} : { cursor }),
  }
}

/** A label without a value is a mistake: it must not choose the runs of everyone. */
function readChosen(labels: unknown): Labels {
  requireObject(labels, 'labels', 'an object of strings')
  requireFew(Object.keys(labels), MAX_LABELS_OF_FILTER, 'labels of a filter')
  for (const [name, value] of Object.entries(labels)) requireText(value, `label "${name}"`)
  return readLabels(labels)
}

function readCount(value: unknown, what: string): number {
  return requireInteger(value, what, 0, Number.MAX_SAFE_INTEGER)
}
