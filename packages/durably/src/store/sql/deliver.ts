import { awaits } from '../../core/awaits.ts'
import { entryData, type Entry } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import { isLegal, transitions } from '../../core/transitions.ts'
import type { Message } from '../store.ts'
import type { Session } from './database.ts'
import type { Append } from './journal.ts'
import type { Sql } from './sql.ts'
import { setWoken } from './wake.ts'

/** A message on its way to a run. */
export interface Letter extends Omit<Message, 'seq'> {
  readonly id: string
}

/** A letter at its run, and how the run is from then on. */
export interface Arrival {
  readonly letter: Letter
  readonly run: RunRecord
  readonly wakes: boolean
}

/** What becomes of a run that gets a letter. */
export function arrive(run: RunRecord, letter: Letter, now: number): Arrival {
  const posted = post(run, letter)
  if (!isLegal('wake', run.status) || !awaits(run.waitingFor, letter)) return posted
  const woken = { status: transitions.wake.to, waitingFor: null, updatedAt: now }
  return { letter, run: { ...posted.run, ...woken }, wakes: true }
}

/** The same of a run that knows of it already, and is not to be woken. */
export function post(run: RunRecord, letter: Letter): Arrival {
  return { letter, run: { ...run, inbox: run.inbox + 1 }, wakes: false }
}

/**
 * Writes what arrived at runs that the transaction has locked, in order. Gives the `run:wake` entries of the runs
 * that were woken, by run.
 */
export type Deliver = (
  session: Session,
  arrivals: readonly Arrival[],
  now: number,
) => Promise<ReadonlyMap<string, Entry>>

export function createDeliver(sql: Sql, append: Append): Deliver {
  const { mailbox, runs } = sql.tables
  const insert = sql.write(`
    insert into ${mailbox} (run_id, seq, id, kind, name, at, is_read, format, data)
    select b.run_id, b.seq, b.id, b.kind, b.name, $now::int8, false, b.format, b.data
    from ${sql.rows('b', '$letters', {
      run_id: 'text',
      seq: 'int8',
      id: 'text',
      kind: 'text',
      name: 'text',
      format: 'text',
      data: 'text',
    })}`)
  const counted = sql.rows('b', '$runs', { run_id: 'text', inbox: 'int8' })
  const count = sql.write(`
    update ${runs} as r set inbox = b.inbox from ${counted} where r.id = b.run_id`)
  const wake = sql.write(`
    update ${runs} as r set inbox = b.inbox, ${setWoken} from ${counted} where r.id = b.run_id
    returning id, number`)

  return async (session, arrivals, now) => {
    if (arrivals.length === 0) return new Map()
    await session.change(insert, { now, letters: JSON.stringify(arrivals.map(columnsOf)) })
    const inboxes = new Map(arrivals.map(({ run }) => [run.id, run.inbox]))
    const wakers = arrivals.filter(({ wakes }) => wakes)
    const woken = new Map(wakers.map((arrival) => [arrival.run.id, arrival]))
    const countsOf = (ids: readonly string[]) =>
      JSON.stringify(ids.map((id) => ({ run_id: id, inbox: inboxes.get(id) })))
    const others = [...inboxes.keys()].filter((id) => !woken.has(id))
    if (others.length > 0) await session.change(count, { runs: countsOf(others) })
    if (woken.size === 0) return new Map()
    const rows = await session.rows(wake, { now, runs: countsOf([...woken.keys()]) })
    const entries = await append(
      session,
      rows.flatMap((row) => {
        const arrival = woken.get(row.id as string)
        return arrival === undefined ? [] : [{ row, entry: wakeEntry(arrival, now) }]
      }),
    )
    return new Map(entries.map((entry) => [entry.runId, entry]))
  }
}

function columnsOf({ run, letter }: Arrival): Record<string, unknown> {
  const { id, kind, name, data } = letter
  const { format, text } = data ?? { format: null, text: null }
  return { run_id: run.id, seq: run.inbox, id, kind, name, format, data: text }
}

function wakeEntry({ run, letter }: Arrival, at: number): Omit<Entry, 'seq'> {
  return {
    runId: run.id,
    generation: run.generation,
    kind: transitions.wake.event,
    name: null,
    at,
    data: entryData('run:wake', { reason: letter.kind }),
  }
}
