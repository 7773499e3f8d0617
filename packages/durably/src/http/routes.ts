import type { Client } from '../client/client.ts'
import { DurablyError, NotFoundError, ValidationError } from '../core/error.ts'
import { readLabels } from '../core/filter.ts'
import type { TriggerOptions } from '../core/handle.ts'
import { requireKnown } from '../core/require-object.ts'
import type { Run } from '../core/run.ts'
import { show } from '../core/show.ts'
import {
  findRun,
  isAllowed,
  isInScope,
  requireLeave,
  scopedLabels,
  type Access,
  type Operation,
} from './access.ts'
import type { Call, Route } from './call.ts'
import { findJob } from './find-job.ts'
import { followRun, followRuns } from './follow.ts'
import { readPage } from './pages.ts'
import { readCount, readOne, readRunId } from './query.ts'
import { shownLogs, shownRun, shownSteps } from './shown.ts'

/** What each path answers, by method. */
export const routes: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  // Whoever watches over servers asks by HEAD.
  '/health': { GET: health, HEAD: health },
  '/trigger': { POST: trigger },
  '/runs': { GET: ({ client, access, query }) => readPage(client, access, query) },
  '/runs/subscribe': { GET: followRuns },
  '/run': {
    GET: async (call) => {
      const run = await namedRun(call, 'read')
      const jobName = readOne(call.query, 'jobName')
      const isOther =
        jobName !== null && (findJob(call.client, jobName)?.name ?? jobName) !== run.jobName
      if (isOther) throw new NotFoundError(`Run not found: ${run.id}`)
      return shownRun(run, call.access)
    },
    DELETE: act('delete', (client, runId) => client.deleteRun(runId)),
  },
  '/steps': {
    GET: async (call) => {
      const run = await namedRun(call, 'read')
      return shownSteps(await call.client.getSteps(run.id), run, call.access)
    },
  },
  '/logs': { GET: logs },
  '/subscribe': { GET: async (call) => followRun(call, await namedRun(call, 'read')) },
  '/retry': { POST: act('retry', (client, runId) => client.retry(runId)) },
  '/cancel': { POST: act('cancel', (client, runId) => client.cancel(runId)) },
  '/retrigger': { POST: retrigger },
  '/signal': { POST: signal },
}

/** One that has more may mean that to be the data: a token that is used up, or a signal, cannot be taken back. */
interface TokenBody {
  readonly data?: unknown
}

interface SignalBody extends TokenBody {
  readonly name?: unknown
  readonly id?: unknown
}

/** The route of `/tokens/:token`, whose path has the token in it, as it is encoded there. */
export function completeToken(encoded: string): Route {
  return async ({ client, access, body }) => {
    await requireLeave(access, 'completeToken', null)
    const token = decode(encoded)
    const answer: TokenBody = await body({})
    requireKnown<TokenBody>(answer, { data: true }, '', 'field')
    await client.completeToken(token, answer.data)
    return { success: true }
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new ValidationError('the token in the path is not well encoded')
  }
}

async function namedRun({ client, access, query }: Call, operation: Operation): Promise<Run> {
  return findRun(client, access, operation, readRunId(query))
}

function act(
  operation: Operation,
  perform: (client: Client, runId: string) => Promise<void>,
): Route {
  return async (call) => {
    const { id } = await namedRun(call, operation)
    await perform(call.client, id)
    return { success: true }
  }
}

async function retrigger(call: Call): Promise<unknown> {
  const { id } = await namedRun(call, 'retrigger')
  const run = await call.client.retrigger(id)
  const mayRead = await isAllowed(call.access, 'read', run)
  return { success: true, runId: run.id, run: shownIf(mayRead, run, call.access) }
}

async function health(): Promise<unknown> {
  return { status: 'ok' }
}

async function signal(call: Call): Promise<unknown> {
  const { id: runId } = await namedRun(call, 'signal')
  const body: SignalBody = await call.body()
  requireKnown<SignalBody>(body, { name: true, data: true, id: true }, '', 'field')
  const { name, data, id } = body
  const options = id === undefined ? {} : { id: id as string }
  await call.client.signal(runId, name as string, data, options)
  return { success: true }
}

const MAX_LINES = 1000

async function logs(call: Call): Promise<unknown> {
  const run = await namedRun(call, 'read')
  const { client, access, query } = call
  const limit = readCount(query, 'limit') ?? MAX_LINES
  if (limit > MAX_LINES) {
    throw new ValidationError(`limit must be at most ${MAX_LINES}; got ${limit}`)
  }
  const page = { after: readCount(query, 'after') ?? 0, limit }
  return shownLogs(await client.getLogs(run.id, page), run, access)
}

async function trigger({ client, access, body }: Call): Promise<unknown> {
  const { jobName, input, runAt, ...options } = await body()
  if (typeof jobName !== 'string' || jobName === '')
    throw new ValidationError('jobName is required')
  const handle = findJob(client, jobName)
  const isHidden = access.scope?.jobNames?.includes(handle?.name ?? '') === false
  if (handle === undefined || isHidden) throw new NotFoundError(`Job not found: ${jobName}`)
  const labels = scopedLabels(access, readLabels(options.labels ?? {}))
  await requireLeave(access, 'trigger', { jobName: handle.name, input, labels })
  const run = await handle.trigger(input, {
    ...(options as TriggerOptions),
    ...(runAt === undefined ? {} : { runAt: readTime(runAt) }),
    labels,
  })
  const mayRead = isInScope(access, run) && (await isAllowed(access, 'read', run))
  // A key of someone else's run: whoever asks is not told of that run, but nor is there one of their own.
  if (!mayRead && run.disposition !== 'created') {
    throw new DurablyError('conflict', 'This idempotencyKey or concurrencyKey is in use')
  }
  requireScope(access, run)
  return { runId: run.id, disposition: run.disposition, run: shownIf(mayRead, run, access) }
}

/** Throws what the server's developer is to be told: the run is there, for nobody of the scope. */
function requireScope(access: Access, run: Run): void {
  if (isInScope(access, run)) return
  throw new TypeError(
    `Run ${run.id} was made with the labels ${JSON.stringify(run.labels)}: the labels schema of createDurably must keep those of the scope, ${JSON.stringify(access.scope?.labels)}`,
  )
}

/** Of a run that one may make but not read there is no more than its id. */
function shownIf(mayRead: boolean, run: Run, access: Access): Run | Pick<Run, 'id'> {
  return mayRead ? shownRun(run, access) : { id: run.id }
}

/** Whatever else `Date` makes something of, it takes for another time than was meant: of `'1'` it makes 2001. */
const ISO_TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$/

function readTime(value: unknown): Date {
  const isText = typeof value === 'string' && ISO_TIME.test(value)
  const date = value instanceof Date ? value : new Date(isText ? value : Number.NaN)
  if (!Number.isNaN(date.getTime())) return date
  throw new ValidationError(`runAt must be a time in ISO format; got ${show(value)}`)
}
