import { parseDuration } from '../core/parse-duration.ts'
import type { Env } from '../core/env.ts'
import { ValidationError } from '../core/error.ts'
import { requireInteger } from '../core/filter.ts'
import type { RunChangeFilter, RunFilter } from '../core/handle.ts'
import { requireKnown, requireObject, type Names } from '../core/require-object.ts'
import { requireText } from '../core/require-text.ts'
import type { Run } from '../core/run.ts'
import { show } from '../core/show.ts'
import type { Log, Step } from '../core/step.ts'
import type { Client } from './client.ts'
import {
  createRequests,
  orNone,
  type HeadersInput,
  type Query,
  type Requests,
} from './http-requests.ts'
import { createRemoteHandle, createRemoteHandles } from './remote-handle.ts'
import { followRun, followRuns } from './remote-events.ts'
import { waitFor } from './remote-wait.ts'

/** How a client reaches its server. */
export interface ClientOptions {
  /** Where the handler is: a path on the same site (`'/api/durably'`), or a whole address. */
  readonly api: string
  /** Default: the platform's. Wrap it to send credentials to another site, or to log. */
  readonly fetch?: typeof fetch | undefined
  /** Sent with every request; a function is asked each time. */
  readonly headers?: HeadersInput | (() => HeadersInput | Promise<HeadersInput>) | undefined
}

type WaitOptions = NonNullable<Parameters<Client['waitForRun']>[1]>

const PAGE_SIZE = 1000
const MAX_COUNT = Number.MAX_SAFE_INTEGER

/** The client whose other half is a handler, far away. */
export function createHttpClient(
  options: ClientOptions,
  env: Pick<Env, 'after' | 'now' | 'random'>,
): Client {
  const requests = createRequests(readOptions(options))
  const { send } = requests
  const onRun = (method: string, path: string) => async (runId: string) => {
    requireText(runId, 'run id')
    return send(method, path, { query: { runId } })
  }
  const act = (method: string, path: string) => {
    const ask = onRun(method, path)
    return async (runId: string) => void (await ask(runId))
  }
  const getRun = (runId: string) => orNone(onRun('GET', '/run')(runId), null)
  const wait = waitFor({ requests, env, getRun: getRun as Client['getRun'] })
  const reads = { getRuns: (filter: RunFilter) => getRuns(requests, filter), wait }
  return {
    jobs: createRemoteHandles((name) => createRemoteHandle(name, requests, reads)),
    getJob: (name) => {
      requireText(name, 'job name')
      return createRemoteHandle(name, requests, reads)
    },
    getRun: getRun as Client['getRun'],
    getRuns: (async (filter: RunFilter = {}) => getRuns(requests, filter)) as Client['getRuns'],
    getSteps: (runId) => orNone(onRun('GET', '/steps')(runId), []) as Promise<Step[]>,
    getLogs: (runId, page = {}) => getLogs(requests, runId, page),
    subscribe(runId, { after = 0 } = {}) {
      requireText(runId, 'run id')
      requireCount('after', after)
      return followRun(requests, env, runId, after)
    },
    subscribeRuns: (filter = {}) => followRuns(requests, env, toQuery(filter, choices)),
    waitForRun: (async (runId: string, { timeout, signal }: WaitOptions = {}) => {
      requireText(runId, 'run id')
      const timeoutMs = timeout === undefined ? null : parseDuration(timeout, 'timeout')
      const timeoutMessage = `waitForRun timeout after ${timeoutMs}ms; run ${runId} goes on`
      return wait(runId, { timeoutMs, timeoutMessage, signal: signal ?? null })
    }) as Client['waitForRun'],
    cancel: act('POST', '/cancel'),
    retry: act('POST', '/retry'),
    deleteRun: act('DELETE', '/run'),
    retrigger: async (runId) => ((await onRun('POST', '/retrigger')(runId)) as { run: Run }).run,
    async signal(runId, name, data, { id } = {}) {
      requireText(runId, 'run id')
      const body = {
        name,
        ...(data === undefined ? {} : { data }),
        ...(id === undefined ? {} : { id }),
      }
      await send('POST', '/signal', { query: { runId }, body })
    },
    async completeToken(token, data) {
      requireText(token, 'token')
      await send('POST', `/tokens/${encodeURIComponent(token)}`, {
        body: data === undefined ? {} : { data },
      })
    },
  }
}

function readOptions(options: ClientOptions): Parameters<typeof createRequests>[0] {
  requireObject(options, 'options')
  const { api, fetch: given, headers } = options
  if (typeof api !== 'string' || api === '') {
    throw new ValidationError(
      `api must say where the handler is, like '/api/durably'; got ${show(api)}`,
    )
  }
  return {
    api: api.endsWith('/') ? api.slice(0, -1) : api,
    // Looked up late, so that whoever replaces it later is heard.
    fetch: given ?? ((input, init) => fetch(input, init)),
    headers: async () => (await (typeof headers === 'function' ? headers() : headers)) ?? {},
  }
}

/** What chooses runs. Throws `ValidationError` where that would be other runs than were meant. */
function toQuery<T extends RunChangeFilter>(filter: T, known: Names<T>): Query {
  requireObject(filter, 'filter')
  requireKnown(filter, known, '', 'filter')
  const { jobName, labels = {} } = filter
  requireObject(labels, 'labels', 'an object of strings')
  const query: Record<string, string | undefined> = { jobName }
  for (const [name, value] of Object.entries(labels)) {
    // One without a value does not travel: the runs of everyone would be chosen.
    requireText(value, `label "${name}"`)
    query[`label.${name}`] = value
  }
  return query
}

/** Throws `ValidationError` unless it is a whole number; the largest there is for none. */
function requireCount(what: string, value: unknown = MAX_COUNT): number {
  return requireInteger(value, what, 0, MAX_COUNT)
}

// As in `engine/reads.ts`, of which a page has nothing; a name that is missing in either does not compile.
const choices: Names<RunChangeFilter> = { jobName: true, labels: true }
const filters: Names<RunFilter> = {
  jobName: true,
  status: true,
  labels: true,
  limit: true,
  offset: true,
  cursor: true,
}

/** As many pages as it takes. */
async function getRuns(requests: Requests, filter: RunFilter): Promise<Run[]> {
  const query = toQuery(filter, filters)
  const { status, offset, cursor } = filter
  const limit = requireCount('limit', filter.limit)
  const runs: Run[] = []
  let next = cursor
  while (runs.length < limit) {
    const size = Math.min(PAGE_SIZE, limit - runs.length)
    const page = (await requests.send('GET', '/runs', {
      query: { ...query, status, limit: size, cursor: next, offset: next === cursor ? offset : 0 },
    })) as { readonly runs: readonly Run[]; readonly nextCursor: string | null }
    runs.push(...page.runs)
    if (page.nextCursor === null) break
    next = page.nextCursor
  }
  return runs
}

async function getLogs(
  requests: Requests,
  runId: string,
  page: NonNullable<Parameters<Client['getLogs']>[1]>,
): Promise<Log[]> {
  requireText(runId, 'run id')
  requireObject(page, 'page')
  const { after = 0 } = page
  const limit = requireCount('limit', page.limit)
  const logs: Log[] = []
  let position = requireCount('after', after)
  while (logs.length < limit) {
    const size = Math.min(PAGE_SIZE, limit - logs.length)
    const query = { runId, after: position, limit: size }
    const lines = (await orNone(requests.send('GET', '/logs', { query }), [])) as readonly Log[]
    logs.push(...lines)
    if (lines.length < size) break
    position = lines.at(-1)?.sequence ?? position
  }
  return logs
}
