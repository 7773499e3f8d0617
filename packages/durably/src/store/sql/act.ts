import { entryData } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import { isLegal, transitions, type RunStatus } from '../../core/transitions.ts'
import type { Acted, ActRequest, Store } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Session } from './database.ts'
import { setEnded } from './ending.ts'
import type { Note, RecordFacts } from './facts.ts'
import type { Keys } from './keys.ts'
import type { LockRuns } from './lock-runs.ts'
import type { Sql } from './sql.ts'
import type { Waiters } from './waiters.ts'
import { setWoken } from './wake.ts'
import type { Statement } from './statement.ts'

export interface ActSteps {
  readonly recordFacts: RecordFacts
  readonly keys: Keys
  readonly lockRuns: LockRuns
  readonly waiters: Waiters
}

/** A change of the row, fenced by its statement, and what it means for the run's key and journal. */
interface Action {
  readonly update: Statement
  /** Runs that come to the key, or leave it; null when the key is not concerned. */
  readonly key: { readonly comes: 0 | 1; readonly leaves: 0 | 1 } | null
  /** Whoever waits for the run is to be told. */
  readonly ends: boolean
  readonly kind: Note['kind']
  data(run: RunRecord): string
}

export function createAct(sql: Sql, database: Database, steps: ActSteps): Store['act'] {
  const { recordFacts, keys, lockRuns, waiters } = steps
  const actions = createActions(sql)
  const find = sql.read(`
    select r.status, r.concurrency_key from ${sql.tables.runs} r where r.id = $runId::text`)

  async function refused(session: Session, runId: string): Promise<Acted> {
    const [row] = await session.rows(find, { runId })
    return { done: false, status: (row?.status as RunStatus | undefined) ?? null }
  }

  async function apply(session: Session, key: string | null, request: ActRequest, now: number) {
    const { transition, ...values } = request
    const action = actions[transition]
    const concerned = key === null || action.key === null ? null : { key, ...action.key }
    if (concerned) await keys.lock(session, new Map([[concerned.key, concerned.comes]]))
    const { runId } = request
    const watchers = action.ends ? await waiters.of(session, [runId]) : []
    const heads = concerned ? await keys.heads(session, [concerned.key], [runId]) : []
    const others = [...watchers, ...heads]
    const locked = await lockRuns(session, others.length > 0 ? [runId, ...others] : [])
    const changed = await session.rows(action.update, { ...values, now })
    const [fact] = await recordFacts(
      session,
      changed.map((row) => row.id as string),
      { kind: action.kind, at: now, data: (run) => action.data(run) },
    )
    if (concerned) {
      const leaves = fact === undefined ? concerned.comes : concerned.leaves
      await keys.leave(session, new Map([[concerned.key, leaves]]))
      await keys.settle(session, [concerned.key])
    }
    if (fact === undefined) return null
    const woken = action.ends ? await waiters.tell(session, { targets: [runId], locked }, now) : []
    return { done: true as const, ...fact, woken }
  }

  return async (request, now) => {
    const { runId, transition } = request
    const [row] = await database.rows(find, { runId })
    const status = (row?.status as RunStatus | undefined) ?? null
    if (status === null || !isLegal(transition, status)) return { done: false, status }
    const key = row?.concurrency_key as string | null
    return database.transaction(
      async (session) => (await apply(session, key, request, now)) ?? refused(session, runId),
    )
  }
}

/** Its time to start is to come. What has started was due, whatever the clock of this process says. */
const isAhead = '(started_at is null and due_at > $now::int8)'

function createActions(sql: Sql): Record<ActRequest['transition'], Action> {
  const { runs } = sql.tables
  const isRun = (transition: ActRequest['transition']) =>
    `id = $runId::text and ${sql.unsearched('status')} ${allowedFrom(transition)}`
  return {
    cancel: {
      update: sql.write(`
        update ${runs} set ${setEnded(transitions.cancel.to)}, generation = generation + 1
        where ${isRun('cancel')} returning id`),
      key: { comes: 0, leaves: 1 },
      ends: true,
      kind: transitions.cancel.event,
      data: () => entryData('run:cancel', { reason: 'cancel' }),
    },
    retry: {
      update: sql.write(`
        update ${runs} set
          status = '${transitions.retry.to}',
          ready = (concurrency_key is null and not ${isAhead}),
          wake_at = case when ${isAhead} then due_at end,
          expire_at = null, attempt = attempt + 1, crashes = 0,
          output = null, output_format = null, error = null, completed_at = null,
          updated_at = $now::int8
        where ${isRun('retry')} returning id`),
      key: { comes: 1, leaves: 0 },
      ends: false,
      kind: transitions.retry.event,
      data: (run) => entryData('run:retry', { attempt: run.attempt }),
    },
    release: {
      update: sql.write(`
        update ${runs} set
          status = '${transitions.release.to}', ready = true, worker = null, updated_at = $now::int8
        where ${isRun('release')} and generation = $generation::int8 returning id`),
      key: null,
      ends: false,
      kind: transitions.release.event,
      data: () => entryData('run:release', { reason: 'unclaimed' }),
    },
    wake: {
      update: sql.write(`
        update ${runs} set ${setWoken}
        where ${isRun('wake')} and generation = $generation::int8 returning id`),
      key: null,
      ends: false,
      kind: transitions.wake.event,
      data: () => entryData('run:wake', { reason: 'asked' }),
    },
  }
}
