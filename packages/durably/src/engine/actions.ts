import type { Codec } from '../core/codec.ts'
import { giveWay, type Env } from '../core/env.ts'
import { ConflictError, NotFoundError, ValidationError } from '../core/error.ts'
import type { BulkFilter, RunFilter } from '../core/handle.ts'
import { requireText } from '../core/require-text.ts'
import { requireDate } from '../core/require-date.ts'
import { type Names, requireKnown, requireObject } from '../core/require-object.ts'
import { decodePayload, type Labels, type RunRecord } from '../core/run.ts'
import { isLegal, terminalStatuses, transitions, type RunStatus } from '../core/transitions.ts'
import type { Acted, Enqueued, Fact, NewRun, Refused, RunQuery, Store } from '../store/store.ts'
import { readFilter } from './reads.ts'
import type { Worker } from './worker.ts'

/** What anyone may do with runs that exist. */
export interface Actions {
  cancel(runId: string): Promise<void>
  retry(runId: string): Promise<void>
  deleteRun(runId: string): Promise<void>
  retrigger(runId: string): Promise<RunRecord>
  cancelRuns(filter: BulkFilter): Promise<number>
  retryRuns(filter: BulkFilter): Promise<number>
  purgeRuns(filter: BulkFilter): Promise<number>
  pauseJob(jobName: string): Promise<void>
  resumeJob(jobName: string): Promise<void>
}

export interface ActionsOptions {
  readonly store: Store
  readonly worker: Worker
  readonly env: Env
  readonly codec: Codec
  readonly enqueue: (runs: readonly NewRun[]) => Promise<readonly Enqueued[]>
  readonly announce: (facts: readonly Fact[]) => void
  /** The run and its journal, which ended at this position, are gone. */
  readonly onDeleted: (run: Deleted, lastSeq: number) => void
  /** Tells other processes to look. */
  readonly onResumed: () => void
  readonly onPurged: () => void
}

/** What is left to say of a run that was deleted. */
interface Deleted {
  readonly id: string
  readonly jobName: string
  readonly labels: Labels
}

const PAGE_SIZE = 200

export function createActions(options: ActionsOptions): Actions {
  const { store, worker, env, onDeleted, onResumed } = options
  const act = (verb: Verb, runId: string) => actOn(options, verb, runId)
  return {
    async cancel(runId) {
      await act('cancel', runId)
      worker.cancelled(runId)
      // The next run of its key.
      worker.poke()
    },
    async retry(runId) {
      await act('retry', runId)
      worker.poke()
    },
    async deleteRun(runId) {
      requireText(runId, 'run id')
      const removed = await store.remove(runId, env.now())
      if (!removed.done) throw refusal('delete', runId, removed)
      onDeleted(removed.run, removed.lastSeq)
    },
    retrigger: (runId) => retrigger(options, runId),
    cancelRuns: (filter) => actOnAll(options, 'cancel', filter),
    retryRuns: (filter) => actOnAll(options, 'retry', filter),
    purgeRuns: (filter) => purgeRuns(options, filter),
    async pauseJob(jobName) {
      requireText(jobName, 'jobName')
      await store.setPaused(jobName, true, env.now())
    },
    async resumeJob(jobName) {
      requireText(jobName, 'jobName')
      await store.setPaused(jobName, false, env.now())
      worker.poke()
      onResumed()
    },
  }
}

type Verb = 'cancel' | 'retry'

async function actOn(options: ActionsOptions, verb: Verb, runId: string): Promise<void> {
  requireText(runId, 'run id')
  const acted = await attempt(options, verb, runId)
  if (!acted.done) throw refusal(verb, runId, acted)
}

function refusal(verb: Verb | 'delete', runId: string, { status }: Refused): Error {
  if (status === null) return new NotFoundError(`Run not found: ${runId}`)
  return new ConflictError(`Cannot ${verb} ${status} run: ${runId}`)
}

async function attempt(
  { store, env, announce }: ActionsOptions,
  verb: Verb,
  runId: string,
): Promise<Acted> {
  const acted = await store.act({ transition: verb, runId }, env.now())
  if (acted.done) announce([acted, ...acted.woken])
  return acted
}

/** The same stored payload, labels and key as a new run. */
async function retrigger(
  { store, env, codec, enqueue }: ActionsOptions,
  runId: string,
): Promise<RunRecord> {
  requireText(runId, 'run id')
  const run = await store.run(runId)
  if (run === null) throw new NotFoundError(`Run not found: ${runId}`)
  // What nobody can read would only fail once more.
  decodePayload(run, codec)
  const { jobName, payload, concurrencyKey, labels, priority } = run
  const [enqueued] = await enqueue([
    {
      id: env.id(),
      jobName,
      payload,
      idempotencyKey: null,
      concurrencyKey,
      labels,
      priority,
      dueAt: null,
      expireAt: null,
      coalesce: false,
    },
  ])
  if (enqueued === undefined) throw new Error(`No answer to the retrigger of run ${runId}`)
  return enqueued.run
}

/**
 * Page by page, each run on its own: those whose status changes meanwhile are not counted. A database that answers
 * within the process would let nothing else happen until all are through.
 */
async function actOnAll(options: ActionsOptions, verb: Verb, filter: BulkFilter): Promise<number> {
  const { store, worker, env } = options
  const query = readBulk(filter, transitions[verb].from)
  const before = filter.before?.getTime() ?? Number.POSITIVE_INFINITY
  const legal = query.statuses?.filter((status) => isLegal(verb, status)) ?? []
  let count = 0
  let cursor: string | undefined
  while (legal.length > 0) {
    const page = await store.runs({
      ...query,
      statuses: legal,
      limit: PAGE_SIZE,
      ...(cursor === undefined ? {} : { cursor }),
    })
    for (const { id, createdAt } of page) {
      await giveWay(env)
      if (createdAt >= before || !(await attempt(options, verb, id)).done) continue
      count++
      if (verb === 'cancel') worker.cancelled(id)
    }
    if (page.length < PAGE_SIZE) break
    cursor = page.at(-1)?.id
  }
  if (count > 0) worker.poke()
  return count
}

async function purgeRuns(
  { store, env, onPurged }: ActionsOptions,
  filter: BulkFilter,
): Promise<number> {
  const query = readBulk(filter, terminalStatuses)
  const active = query.statuses?.find((status) => !isLegal('delete', status))
  if (active !== undefined) {
    throw new ValidationError(`only runs that ended can be purged; got status ${active}`)
  }
  const before = filter.before?.getTime() ?? env.now() + 1
  let count = 0
  while (true) {
    const purged = await store.purge(query, before, PAGE_SIZE, env.now())
    count += purged.length
    // Another purge may have been faster with some of the page.
    if (purged.length === 0) break
    await giveWay(env)
  }
  if (count > 0) onPurged()
  return count
}

function readBulk(bulk: BulkFilter, statuses: readonly RunStatus[]): RunQuery {
  requireObject(bulk, 'filter')
  requireKnown(bulk, bulkFilters, '', 'filter')
  const { before, ...filter } = bulk
  if (before !== undefined) requireDate(before, 'before')
  const query = readFilter({ status: statuses, ...filter } satisfies RunFilter)
  requireChosen(filter)
  return query
}

const bulkFilters: Names<BulkFilter> = { jobName: true, status: true, labels: true, before: true }

/** What lists take for any would have an action reach every run, by mistake. */
function requireChosen({ status }: BulkFilter): void {
  if (Array.isArray(status) && status.length === 0) {
    throw new ValidationError('status must name at least one, or be left out for any; got []')
  }
}
