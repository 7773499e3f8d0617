import type { Client } from '../client/client.ts'
import { ValidationError } from '../core/error.ts'
import type { RunFilter } from '../core/handle.ts'
import type { Labels, Run } from '../core/run.ts'
import { isAllowed, type Access } from './access.ts'
import { findJob } from './find-job.ts'
import { readPageQuery } from './query.ts'
import { shownRun } from './shown.ts'

export interface Page {
  readonly runs: readonly Run[]
  /** To be sent as `cursor` for the next page; null on the last one. */
  readonly nextCursor: string | null
  readonly hasMore: boolean
}

/** A page of what there is for whoever has the access: never more than its scope, whatever the query says. */
export async function readPage(
  client: Client,
  access: Access,
  query: URLSearchParams,
): Promise<Page> {
  const asked = readPageQuery(query)
  const { limit, offset, statuses: status, cursor } = asked
  const filters = jobNamesOf(client, access, asked.jobName).flatMap((jobName) =>
    labelsOf(access, asked.labels).map(
      (labels): RunFilter => ({ jobName, labels, status, cursor }),
    ),
  )
  const skipsHere = filters.length > 1
  if (skipsHere) requireNear(offset)
  // One more than is shown, to know whether there is more.
  const part = skipsHere ? { limit: offset + limit + 1 } : { offset, limit: limit + 1 }
  const reads = filters.map((filter) => client.getRuns({ ...filter, ...part }))
  const found = (await Promise.all(reads)).flat()
  // Ids sort by time: of several jobs the newest first.
  const newest = found.toSorted((a, b) => (a.id < b.id ? 1 : -1)).slice(skipsHere ? offset : 0)
  const hasMore = newest.length > limit
  const page = newest.slice(0, limit)
  const readable = await Promise.all(page.map((run) => isAllowed(access, 'read', run)))
  return {
    runs: page.filter((_, i) => readable[i]).map((run) => shownRun(run, access)),
    nextCursor: hasMore ? (page.at(-1)?.id ?? null) : null,
    hasMore,
  }
}

/** The jobs to look through; undefined: all. */
export function jobNamesOf(
  client: Client,
  { scope }: Access,
  asked: string | undefined,
): readonly (string | undefined)[] {
  const name = asked === undefined ? undefined : (findJob(client, asked)?.name ?? asked)
  if (scope?.jobNames === undefined) return [name]
  return [...new Set(scope.jobNames)].filter((jobName) => name === undefined || jobName === name)
}

/** The labels to look for, in a list; none when what is asked for is out of scope. */
export function labelsOf({ scope }: Access, asked: Labels): Labels[] {
  const own = Object.entries(scope?.labels ?? {})
  const clashes = own.some(([name, value]) => Object.hasOwn(asked, name) && asked[name] !== value)
  return clashes ? [] : [Object.fromEntries([...Object.entries(asked), ...own])]
}

/** Of several jobs, which runs are to be skipped is known only once they are in one order: all are read for that. */
const MAX_READ_TO_SKIP = 1000

function requireNear(offset: number): void {
  if (offset <= MAX_READ_TO_SKIP) return
  throw new ValidationError(
    `offset must be at most ${MAX_READ_TO_SKIP} where only some jobs may be seen; got ${offset}. Use cursor`,
  )
}
