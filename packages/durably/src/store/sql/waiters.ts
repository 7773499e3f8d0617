import type { RunRecord } from '../../core/run.ts'
import { endingOf } from '../ending-of.ts'
import type { Fact } from '../store.ts'
import type { Session } from './database.ts'
import { arrive, post, type Arrival, type Deliver, type Letter } from './deliver.ts'
import type { LockedRun, LockLate, ReadRuns } from './lock-runs.ts'
import type { Sql } from './sql.ts'

/** Who is to be told of the end of which run. */
export interface Waiters {
  /** Who waits for one of these runs: to be locked together with it, before it ends. */
  of(session: Session, targets: readonly string[]): Promise<string[]>
  /** Tells those that watch runs which the transaction has ended, and says whom that woke. */
  tell(session: Session, ended: Ended, now: number): Promise<Fact[]>
  /** Adds a waiter, who is told of the next end only. Both runs are locked. */
  add(session: Session, runId: string, target: string): Promise<void>
  /** Tells a run of an end that came before it asked. Both are locked. */
  tellLate(session: Session, run: RunRecord, ended: RunRecord, now: number): Promise<void>
}

/** Runs that the transaction has ended, so that nobody can come to watch them any more. */
interface Ended {
  readonly targets: readonly string[]
  /** What was locked in order before. */
  readonly locked: ReadonlyMap<string, LockedRun>
}

export interface WaitersSteps {
  readonly lockLate: LockLate
  readonly readRuns: ReadRuns
  readonly deliver: Deliver
}

/** A run and one that waits for it. */
interface Pair {
  readonly target: string
  readonly runId: string
}

export function createWaiters(sql: Sql, { lockLate, readRuns, deliver }: WaitersSteps): Waiters {
  const { waiters } = sql.tables
  const ofTargets = `in (select t.value from ${sql.texts('t', '$targets')})`
  const select = sql.read(`
    select w.target, w.run_id from ${waiters} w where w.target ${ofTargets}
    order by w.target, w.run_id`)
  const forget = sql.write(`delete from ${waiters} where target ${ofTargets}`)
  const add = sql.write(`
    insert into ${waiters} (target, run_id) values ($target::text, $runId::text)
    on conflict (target, run_id) do nothing`)
  const makeWay = createMakeWay(sql)

  async function find(session: Session, targets: readonly string[]): Promise<Pair[]> {
    if (targets.length === 0) return []
    const rows = await session.rows(select, { targets: JSON.stringify(targets) })
    return rows.map((row) => ({ target: row.target as string, runId: row.run_id as string }))
  }

  return {
    // Where writers are alone, nothing has to be locked in an order.
    of: async (session, targets) =>
      sql.forUpdate === '' ? [] : (await find(session, targets)).map(({ runId }) => runId),
    tell: async (session, { targets, locked }, now) => {
      const pairs = inOrder(targets, await find(session, targets))
      if (pairs.length === 0) return []
      // Who came between the look at who waits and the lock of the run that ended.
      const late = new Set(pairs.map(({ runId }) => runId).filter((id) => !locked.has(id)))
      await lockLate(session, [...late])
      const runs = await readRuns(
        session,
        pairs.flatMap(({ target, runId }) => [target, runId]),
      )
      await makeWay(session, pairs)
      const arrivals: Arrival[] = []
      for (const { runId, target } of pairs) {
        const run = runs.get(runId)
        const ended = runs.get(target)
        if (run === undefined || ended === undefined) continue
        const arrival = arrive(run, letterOf(ended), now)
        runs.set(runId, arrival.run)
        arrivals.push(arrival)
      }
      const entries = await deliver(session, arrivals, now)
      await session.change(forget, { targets: JSON.stringify(targets) })
      return arrivals.flatMap(({ run, wakes }) => {
        const entry = wakes ? entries.get(run.id) : undefined
        return entry === undefined ? [] : [{ run, entry }]
      })
    },
    add: async (session, runId, target) => {
      await makeWay(session, [{ runId, target }])
      await session.change(add, { runId, target })
    },
    tellLate: async (session, run, ended, now) => {
      await makeWay(session, [{ runId: run.id, target: ended.id }])
      await deliver(session, [post(run, letterOf(ended))], now)
    },
  }
}

/** First who waits for the run that ended first. */
function inOrder(targets: readonly string[], pairs: readonly Pair[]): Pair[] {
  return targets.flatMap((target) => pairs.filter((pair) => pair.target === target))
}

/** What runs were told of earlier ends, read or not, makes way for what they are told now. */
function createMakeWay(sql: Sql) {
  const { mailbox } = sql.tables
  const pairs = sql.rows('b', '$pairs', { run_id: 'text', target: 'text' })
  const remove = sql.write(`
    delete from ${mailbox} where (run_id, seq) in (
      select m.run_id, m.seq
      from ${pairs} join ${mailbox} m on m.run_id = b.run_id and m.id = b.target and m.kind = 'run')`)
  return async (session: Session, told: readonly Pair[]): Promise<void> => {
    const rows = told.map(({ runId, target }) => ({ run_id: runId, target }))
    await session.change(remove, { pairs: JSON.stringify(rows) })
  }
}

function letterOf(ended: RunRecord): Letter {
  return { id: ended.id, kind: 'run', name: ended.id, data: endingOf(ended) }
}
