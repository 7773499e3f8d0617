import type { ErrorDetail } from '../../core/error.ts'
import { entryData } from '../../core/journal.ts'
import { transitions } from '../../core/transitions.ts'
import { crashError } from '../crash-error.ts'
import type { Reclaimed, ReclaimRequest, Store } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Database, Session } from './database.ts'
import { setEnded } from './ending.ts'
import type { RecordFacts } from './facts.ts'
import { countKeys, type Keys } from './keys.ts'
import { createOrphans, type Orphan } from './orphans.ts'
import type { LockRuns } from './lock-runs.ts'
import type { Sql } from './sql.ts'
import type { Waiters } from './waiters.ts'
import type { GoneWorkers } from './gone-workers.ts'
import type { Workers } from './workers.ts'

export interface ReclaimSteps {
  readonly recordFacts: RecordFacts
  readonly keys: Keys
  readonly lockRuns: LockRuns
  readonly waiters: Waiters
  readonly workers: Workers
  readonly goneWorkers: GoneWorkers
}

/** Locks in the order of every transaction: workers, keys, runs. */
export function createReclaim(sql: Sql, database: Database, steps: ReclaimSteps): Store['reclaim'] {
  const { keys, lockRuns, waiters, workers, goneWorkers } = steps
  const orphans = createOrphans(sql, database)
  const update = createUpdates(sql)
  const announce = createAnnounce(steps.recordFacts)

  async function reclaim(session: Session, request: ReclaimRequest, now: number) {
    await workers.lock(session, request.workerId)
    await workers.restartAhead(session, now)
    const dead = await orphans.lockWorkers(session, request.workerId, now)
    if (dead.length === 0) return nothing
    const found = await orphans.find(session, dead)
    const endangered = found.filter(({ crashes }) => crashes + 1 >= request.maxCrashes)
    const left = new Map([...countKeys(endangered.map(({ key }) => key)).keys()].map(none))
    await keys.lock(session, left)
    const watchers = await waiters.of(session, endangered.map(idOf))
    const heads = await keys.heads(session, left.keys())
    const locked = await lockRuns(session, [...watchers, ...heads, ...found.map(idOf)])

    const fates = sortOut(await orphans.read(session, found.map(idOf), dead), request)
    await update.failed(session, fates.failed, now)
    await update.recovered(session, fates.recovered, now)
    await update.taken(session, fates.taken, request.workerId, now)
    const { claimed, others } = await announce(session, fates, now)
    const told = await waiters.tell(session, { targets: fates.failed.map(idOf), locked }, now)

    for (const [key, count] of countKeys(fates.failed.map((orphan) => orphan.concurrencyKey))) {
      left.set(key, count)
    }
    await keys.leave(session, left)
    await keys.settle(session, left.keys())
    await goneWorkers.forget(session, dead)
    if (fates.taken.length > 0) await workers.renew(session, request, now, request.jobs)
    return { claimed, others: [...others, ...told] }
  }

  return async (request, now) => {
    if (!(await orphans.exist(request.workerId, now))) return nothing
    return database.transaction((session) => reclaim(session, request, now))
  }
}

function idOf({ id }: { readonly id: string }): string {
  return id
}

function none(key: string): [string, number] {
  return [key, 0]
}

const nothing: Reclaimed = { claimed: [], others: [] }

interface Fates {
  /** At the end of their chances. */
  readonly failed: readonly Orphan[]
  /** Of jobs that are unknown here or paused: handed on. */
  readonly recovered: readonly Orphan[]
  readonly taken: readonly Orphan[]
}

/** Runs of known jobs beyond the limit are in none of the three: they are left for another time or worker. */
function sortOut(found: readonly Orphan[], { jobs, limit, maxCrashes }: ReclaimRequest): Fates {
  const known = new Set(jobs)
  const failed = found.filter((orphan) => orphan.crashes >= maxCrashes)
  const others = found.filter((orphan) => orphan.crashes < maxCrashes)
  const isForMe = (orphan: Orphan) => known.has(orphan.jobName) && !orphan.isPaused
  return {
    failed,
    recovered: others.filter((orphan) => !isForMe(orphan)),
    taken: others.filter(isForMe).slice(0, Math.max(0, limit)),
  }
}

function createUpdates(sql: Sql) {
  const { runs } = sql.tables
  const orphans = sql.rows('b', '$orphans', { run_id: 'text', crashes: 'int8', error: 'text' })
  const isRun = (transition: 'fail' | 'recover' | 'reclaim') =>
    `from ${orphans}
    where r.id = b.run_id and ${sql.unsearched('r.status')} ${allowedFrom(transition)}`
  const fail = sql.write(`
    update ${runs} as r set ${setEnded(transitions.fail.to)}, crashes = b.crashes, error = b.error
    ${isRun('fail')}`)
  const recover = sql.write(`
    update ${runs} as r set status = '${transitions.recover.to}', ready = true, worker = null,
      attempt = r.attempt + 1, crashes = b.crashes, updated_at = $now::int8
    ${isRun('recover')}`)
  const take = sql.write(`
    update ${runs} as r set status = '${transitions.reclaim.to}', worker = $workerId::text,
      generation = r.generation + 1, attempt = r.attempt + 1, crashes = b.crashes,
      updated_at = $now::int8
    ${isRun('reclaim')}`)

  return {
    failed: (session: Session, failed: readonly Orphan[], now: number) =>
      change(session, fail, failed, { now }),
    recovered: (session: Session, recovered: readonly Orphan[], now: number) =>
      change(session, recover, recovered, { now }),
    taken: (session: Session, taken: readonly Orphan[], workerId: string, now: number) =>
      change(session, take, taken, { now, workerId }),
  }
}

async function change(
  session: Session,
  statement: ReturnType<Sql['write']>,
  found: readonly Orphan[],
  params: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (found.length === 0) return
  const rows = found.map((orphan) => ({
    run_id: orphan.id,
    crashes: orphan.crashes,
    error: JSON.stringify(crashError(orphan.crashes, orphan.executing)),
  }))
  await session.change(statement, { ...params, orphans: JSON.stringify(rows) })
}

function createAnnounce(recordFacts: RecordFacts) {
  return async (session: Session, fates: Fates, now: number): Promise<Reclaimed> => {
    const ids = (found: readonly Orphan[]) => found.map((orphan) => orphan.id)
    const startedAt = new Map(fates.failed.map((orphan) => [orphan.id, orphan.startedAt]))
    const failures = await recordFacts(session, ids(fates.failed), {
      kind: transitions.fail.event,
      at: now,
      data: ({ id, error }) =>
        entryData('run:fail', {
          duration: now - (startedAt.get(id) ?? now),
          error: error as ErrorDetail,
        }),
    })
    const releases = await recordFacts(session, ids(fates.recovered), {
      kind: transitions.recover.event,
      at: now,
      data: () => entryData('run:release', { reason: 'recover' }),
    })
    const claimed = await recordFacts(session, ids(fates.taken), {
      kind: transitions.reclaim.event,
      at: now,
      data: ({ attempt }) => entryData('run:start', { attempt }),
    })
    return { claimed, others: [...failures, ...releases] }
  }
}
