import type { Env } from '../core/env.ts'
import { ValidationError } from '../core/error.ts'
import { requireInteger } from '../core/filter.ts'
import type { RunChangeFilter, RunFilter } from '../core/handle.ts'
import { requireKnown, requireObject, requireOptions, type Names } from '../core/require-object.ts'
import { requireText } from '../core/require-text.ts'
import type { Run } from '../core/run.ts'
import { show } from '../core/show.ts'
import type { Log, Step } from '../core/step.ts'
import { waitHow } from '../core/wait-how.ts'
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
  /** Where the handler is: a path on the same site (`'/api/durably'`), or a full URL. */
  readonly api: string
  /** Default: the platform's `fetch`. Wrap it to send credentials to another site, or to log. */
  readonly fetch?: typeof fetch | undefined
  /** Sent with every request; a function is called each time. */
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
  const act = (method: string, path: string) => async (runId: string) =>
    void (await onRun(method, path)(runId))
  const getRun = (runId: string) => orNone(onRun('GET', '/run')(runId), null)
  const wait = waitFor({ requests, env, getRun: getRun as Client['getRun'] })
  const list = (filter: RunFilter = {}) => getRuns(requests, filter)
  const reads = { getRuns: list, wait }
  return {
    jobs: createRemoteHandles((name) => createRemoteHandle(name, requests, reads)),
    getJob: (name) => {
      requireText(name, 'job name')
      return createRemoteHandle(name, requests, reads)
    },
    getRun: getRun as Client['getRun'],
    getRuns: list as Client['getRuns'],
    getSteps: (runId) => orNone(onRun('GET', '/steps')(runId), []) as Promise<Step[]>,
    getLogs: (runId, page = {}) => getLogs(requests, runId, page),
    subscribe(runId, options = {}) {
      requireOptions(options, { after: true })
      requireText(runId, 'run id')
      return followRun(requests, env, runId, requireCount('after', options.after ?? 0))
    },
    subscribeRuns: (filter = {}) => followRuns(requests, env, toQuery(filter, choices)),
    waitForRun: (async (runId: string, options: WaitOptions = {}) => {
      requireOptions(options, { timeout: true, signal: true })
      requireText(runId, 'run id')
      return wait(runId, waitHow('waitForRun', options, `; run ${runId} goes on`))
    }) as Client['waitForRun'],
    cancel: act('POST', '/cancel'),
    retry: act('POST', '/retry'),
    deleteRun: act('DELETE', '/run'),
    retrigger: async (runId) => ((await onRun('POST', '/retrigger')(runId)) as { run: Run }).run,
    async signal(runId, name, data, options = {}) {
      requireOptions(options, { id: true })
      requireText(runId, 'run id')
      await send('POST', '/signal', { query: { runId }, body: { name, data, id: options.id } })
    },
    async completeToken(token, data) {
      requireText(token, 'token')
      await send('POST', `/tokens/${encodeURIComponent(token)}`, { body: { data } })
    },
  }
}

function readOptions(options: ClientOptions): Parameters<typeof createRequests>[0] {
  requireOptions(options, { api: true, fetch: true, headers: true })
  const { api, fetch: given, headers } = options
  if (typeof api !== 'string' || api === '') {
    throw new ValidationError(
      `api must say where the handler is, like '/api/durably'; got ${show(api)}`,
    )
  }
  return {
    api: api.replace(/\/$/, ''),
    // Looked up late, so that whoever replaces it later is heard, and called as what it is: a page's takes no other `this`.
    fetch: async (input, init) => (given ?? fetch)(input, init),
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
  requireOptions(page, { after: true, limit: true })
  requireText(runId, 'run id')
  const { after = 0 } = page
  const limit = requireCount('limit', page.limit)
  const logs: Log[] = []
  let position = requireCount('after', after)
  while (logs.length < limit) {
    const size = Math.min(PAGE_SIZE, limit - logs.length)
    const query = { runId, after: position, limit: size }
    const lines = (await orNone(requests.send('GET', '/logs', { query }), [])) as readonly Log[]
    for (const line of lines) {
      logs.push(line)
      position = line.sequence
    }
    if (lines.length < size) break
  }
  return logs
}
