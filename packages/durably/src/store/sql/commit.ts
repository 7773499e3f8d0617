import { isHeld, wasCancelled } from '../../core/lease.ts'
import { type RunStatus, transitions } from '../../core/transitions.ts'
import type { Answer, Commit, Transition } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Row, Session } from './database.ts'
import { toBoolean } from './run-row.ts'
import { createRowsStatement } from './rows-statement.ts'
import type { Sql } from './sql.ts'

/** Commits in one statement each, or all in one: an entry of a run goes in if and only if its lease holds. */
export interface CommitSteps {
  /** Whether the commits are entries alone, and so few that one statement writes them. */
  isOneStatement(commits: readonly Commit[]): boolean
  /** In a transaction, or one statement by itself. */
  append(session: Session, commits: readonly Commit[]): Promise<Answer[]>
  /** What else the commits change, after `append`. */
  change(session: Session, commits: readonly Commit[], now: number): Promise<Changed>
}

/** Runs that made their transition now, by id, and whether another one waits for their end. */
type Changed = ReadonlyMap<string, boolean>

export function createCommit(sql: Sql): CommitSteps {
  const append = createAppend(sql)
  const note = createNote(sql)
  const transit = createTransit(sql)
  const settle = createSettle(sql)

  return {
    isOneStatement: (commits) => {
      const entries = commits.reduce((sum, commit) => sum + commit.entries.length, 0)
      return entries <= append.limit && commits.every(isPlain)
    },
    append: async (session, commits) => {
      if (commits.length === 0) return []
      const written = await append.all(session, commits)
      return written ? commits.map(() => 'committed') : settle(session, commits)
    },
    change: async (session, commits, now) => {
      await note(session, commits, now)
      return transit(session, commits, now)
    },
  }
}

function isPlain(commit: Commit): boolean {
  const { entries, progress, executing, consumes, tokens, transition } = commit
  const isNoted = progress !== undefined || executing !== undefined
  const isMail = consumes !== undefined || tokens !== undefined
  return entries.length > 0 && !isNoted && !isMail && transition === undefined
}

/** Answers whether all entries went in now. */
function createAppend(sql: Sql) {
  const { journal, runs } = sql.tables
  const insert = `insert into ${journal} (run, seq, generation, kind, name, at, data)`
  const holds = `${sql.unsearched('r.status')} ${allowedFrom('complete')}`
  const one = sql.write(`
    ${insert}
    select r.number, $seq::int8, r.generation, $kind::text, $name::text, $at::int8, $data::text
    from ${runs} r
    where r.id = $runId::text and r.generation = $generation::int8 and ${holds}
    ${sql.forShare}
    on conflict (run, seq) do nothing`)
  const many = createRowsStatement(
    sql,
    'b',
    {
      run_id: 'text',
      generation: 'int8',
      seq: 'int8',
      kind: 'text',
      name: 'text',
      at: 'int8',
      data: 'text',
    },
    (rows) => `
    ${insert}
    select r.number, b.seq, r.generation, b.kind, b.name, b.at, b.data
    from ${rows}
    join ${runs} r on r.id = b.run_id and r.generation = b.generation and ${holds}
    where true order by r.id, b.seq
    ${sql.forShare}
    on conflict (run, seq) do nothing`,
  )

  async function appendMany(session: Session, commits: readonly Commit[]): Promise<boolean> {
    const rows = commits.flatMap(({ lease: { runId, generation }, entries }) =>
      entries.map(({ seq, kind, name, at, data }) => [
        runId,
        generation,
        seq,
        kind,
        name,
        at,
        data,
      ]),
    )
    let written = 0
    for (const [statement, params] of many.over(rows)) {
      written += await session.change(statement, params)
    }
    // Without entries there is no fence to pass: the runs are asked.
    return written === rows.length && commits.every(({ entries }) => entries.length > 0)
  }

  return {
    limit: many.limit,
    all: async (session: Session, commits: readonly Commit[]): Promise<boolean> => {
      const [first] = commits
      if (first === undefined || commits.length > 1 || first.entries.length !== 1) {
        return appendMany(session, commits)
      }
      return (await session.change(one, { ...first.lease, ...first.entries[0] })) === 1
    },
  }
}

/** Notes progress and the step that is about to execute, of runs that go on. */
function createNote(sql: Sql) {
  const { runs } = sql.tables
  const update = sql.write(`
    update ${runs} as r set
      progress = coalesce(b.progress, r.progress),
      executing = coalesce(b.executing, r.executing),
      updated_at = $now::int8
    from ${sql.rows('b', '$notes', {
      run_id: 'text',
      generation: 'int8',
      progress: 'text',
      executing: 'text',
    })}
    where r.id = b.run_id and r.generation = b.generation and ${sql.unsearched('r.status')} ${allowedFrom('complete')}`)

  return async (session: Session, commits: readonly Commit[], now: number): Promise<void> => {
    const notes = commits.filter((c) => c.progress !== undefined || c.executing !== undefined)
    if (notes.length === 0) return
    // One row for a run: of two rows, a database may apply either.
    const byRun = new Map<string, Record<string, unknown>>()
    for (const { lease, progress, executing } of notes) {
      byRun.set(lease.runId, {
        ...byRun.get(lease.runId),
        run_id: lease.runId,
        generation: lease.generation,
        ...(progress === undefined ? {} : { progress: JSON.stringify(progress) }),
        ...(executing === undefined ? {} : { executing }),
      })
    }
    await session.change(update, { now, notes: JSON.stringify([...byRun.values()]) })
  }
}

function createTransit(sql: Sql) {
  const { runs, waiters } = sql.tables
  // `append` has locked the run, so nobody can come to watch it any more.
  const isWatched = `exists (select 1 from ${waiters} w where w.target = id) as is_watched`
  const update = createRowsStatement(
    sql,
    'b',
    {
      run_id: 'text',
      generation: 'int8',
      status: 'text',
      wake_at: 'int8',
      waiting_for: 'text',
      output: 'text',
      output_format: 'text',
      error: 'text',
      at: 'int8',
      now: 'int8',
    },
    // A run that came to a wait has made its way: the crashes before are forgiven.
    (rows) => `
    update ${runs} as r set
      status = b.status,
      ready = (b.status = '${transitions.release.to}'),
      wake_at = b.wake_at,
      waiting_for = b.waiting_for,
      worker = null,
      holds_key = (r.holds_key and b.status in ${GOES_ON}),
      crashes = case when b.status = '${transitions.park.to}' then 0 else r.crashes end,
      executing = case when b.status = '${transitions.release.to}' then r.executing end,
      output = b.output,
      output_format = b.output_format,
      error = b.error,
      updated_at = b.now,
      completed_at = case when b.status not in ${GOES_ON} then b.at end
    from ${rows}
    where r.id = b.run_id and r.generation = b.generation and ${sql.unsearched('r.status')} ${allowedFrom('complete')}
    returning id, ${isWatched}`,
  )

  return async (session: Session, commits: readonly Commit[], now: number): Promise<Changed> => {
    const changes = commits.flatMap(({ lease: { runId, generation }, entries, transition }) => {
      if (transition === undefined) return []
      // It ended when its entry says so, however long that was on its way.
      const at = entries.at(-1)?.at ?? now
      return [[runId, generation, ...valuesOf(transition), at, now]]
    })
    const changed = new Map<string, boolean>()
    for (const [statement, params] of update.over(changes)) {
      for (const { id, is_watched } of await session.rows(statement, params)) {
        changed.set(id as string, toBoolean(is_watched))
      }
    }
    return changed
  }
}

const GOES_ON = `('${transitions.release.to}', '${transitions.park.to}')`

/** Status, time to wake, waits, output and its format, error. */
function valuesOf(transition: Transition): readonly unknown[] {
  const status: RunStatus = transitions[transition.name].to
  switch (transition.name) {
    case 'complete':
      return [status, null, null, transition.output.text, transition.output.format, null]
    case 'fail':
      return [status, null, null, null, null, JSON.stringify(transition.error)]
    case 'release':
      return [status, null, null, null, null, null]
    case 'park':
      return [status, transition.wakeAt, JSON.stringify(transition.waits), null, null, null]
  }
}

/**
 * Reads what became of commits that did not all go in now: an earlier answer may have been lost. The whole entry
 * is compared, since the store itself writes under the generation of a worker that died.
 */
function createSettle(sql: Sql) {
  const { journal, runs } = sql.tables
  const find = sql.read(`
    select b.i, r.generation, r.status,
      exists (
        select 1 from ${journal} e
        where e.run = r.number and e.seq = b.seq and e.generation = b.generation
          and e.kind = b.kind and e.at = b.at and e.data = b.data
      ) as is_written
    from ${sql.rows('b', '$commits', {
      i: 'int8',
      run_id: 'text',
      generation: 'int8',
      seq: 'int8',
      kind: 'text',
      at: 'int8',
      data: 'text',
    })}
    join ${runs} r on r.id = b.run_id`)

  return async (session: Session, commits: readonly Commit[]): Promise<Answer[]> => {
    const wanted = commits.map(({ lease, entries }, i) => ({
      i,
      run_id: lease.runId,
      generation: lease.generation,
      ...entries.at(-1),
    }))
    const answers: Answer[] = commits.map(() => 'lost')
    for (const row of await session.rows(find, { commits: JSON.stringify(wanted) })) {
      const i = Number(row.i)
      const commit = commits[i]
      if (commit !== undefined) answers[i] = answerOf(commit, row)
    }
    return answers
  }
}

function answerOf({ lease, entries }: Commit, row: Row): Answer {
  const run = { status: row.status as RunStatus, generation: Number(row.generation) }
  const isWritten = entries.length === 0 ? isHeld(run, lease.generation) : toBoolean(row.is_written)
  if (isWritten) return 'committed'
  return wasCancelled(run, lease.generation) ? 'cancelled' : 'lost'
}
