import { entryData, type Entry } from '../../core/journal.ts'
import type { Enqueued, NewRun } from '../store.ts'
import { allowedFrom } from './allowed-from.ts'
import type { Session } from './database.ts'
import { toEntry, type Append } from './journal.ts'
import { runColumns, toRunRecord } from './run-row.ts'
import type { Sql } from './sql.ts'

/** Answers with the run that takes the place of `run`: its job's pending one of that key that never started. */
export type Coalesce = (session: Session, run: NewRun, now: number) => Promise<Enqueued | null>

// A trigger whose answer was lost is sent again within seconds: it is looked for so far back.
const RECENT = 100

export function createCoalesce(sql: Sql, append: Append): Coalesce {
  const { runs, journal } = sql.tables
  const find = sql.write(`
    select ${runColumns(sql.tables)} from ${runs} r
    where r.concurrency_key = $key::text and r.job = $job::text and r.concurrency_key is not null
      and r.started_at is null and r.completed_at is null
      and ${sql.unsearched('r.status')} ${allowedFrom('expire')}
      and (r.expire_at is null or r.expire_at > $now::int8)
    order by r.due_at, r.id limit 1
    ${sql.forUpdate}`)
  const findBefore = sql.read(`
    select b.* from (
      select * from ${journal} e where e.run = $number::int8 order by e.seq desc limit ${RECENT}
    ) as b
    where b.kind = 'run:coalesced' and b.data = $data::text`)

  return async (session, { id, jobName, concurrencyKey }, now) => {
    const [row] = await session.rows(find, { job: jobName, key: concurrencyKey, now })
    if (row === undefined) return null
    const data = entryData('run:coalesced', { by: id })
    const [before] = await session.rows(findBefore, { number: row.number, data })
    if (before !== undefined) {
      return {
        disposition: 'coalesced',
        run: toRunRecord(row),
        entry: toEntry(row.id as string, before),
      }
    }
    const run = toRunRecord({ ...row, last_at: now })
    const coalesced = {
      runId: run.id,
      generation: run.generation,
      kind: 'run:coalesced',
      name: null,
      at: now,
      data,
    } as const
    const [entry] = await append(session, [{ row, entry: coalesced }])
    return { disposition: 'coalesced', run, entry: entry as Entry }
  }
}
