import { entryData, type Entry } from '../../core/journal.ts'
import { isLegal } from '../../core/transitions.ts'
import { byDueTime } from '../claim-order.ts'
import { newRecord } from '../new-record.ts'
import type { Enqueued, NewRun } from '../store.ts'
import { append, idempotencySlot, recordOf, type Row, type Tables } from './tables.ts'

/** Plain runs first, so that the coalescing ones of the same batch find them. */
export function enqueue(tables: Tables, runs: readonly NewRun[], now: number): Enqueued[] {
  const answers = new Map<NewRun, Enqueued>()
  for (const run of runs) if (!run.coalesce) answers.set(run, enqueueOne(tables, run, now))
  return runs.map((run) => answers.get(run) ?? enqueueOne(tables, run, now))
}

function enqueueOne(tables: Tables, run: NewRun, now: number): Enqueued {
  const same = tables.runs.get(run.id)
  if (same !== undefined) return created(same)
  if (run.isSentAgain === true && tables.deleted.has(run.id)) {
    return { disposition: 'created', run: newRecord(run, now), entry: null }
  }
  const twin = findTwin(tables, run)
  if (twin !== undefined) return { disposition: 'idempotent', run: recordOf(twin), entry: null }
  const pending = run.coalesce ? findPending(tables, run, now) : undefined
  if (pending !== undefined) {
    const entry =
      findCoalesced(pending, run) ?? append(pending, 'run:coalesced', { by: run.id }, now)
    return { disposition: 'coalesced', run: recordOf(pending), entry }
  }
  return created(insert(tables, run, now))
}

const RECENT = 100

/** The entry of this very trigger, which is sent again because its answer was lost. */
function findCoalesced({ journal }: Row, { id }: NewRun): Entry | undefined {
  const data = entryData('run:coalesced', { by: id })
  return journal.slice(-RECENT).find((e) => e.kind === 'run:coalesced' && e.data === data)
}

function created(row: Row): Enqueued {
  return { disposition: 'created', run: recordOf(row), entry: row.journal[0] ?? null }
}

function findTwin(tables: Tables, { jobName, idempotencyKey }: NewRun): Row | undefined {
  if (idempotencyKey === null) return undefined
  return tables.idempotent.get(idempotencySlot(jobName, idempotencyKey))
}

/** The run to take instead: it has not started, and will not expire before it could. */
function findPending(tables: Tables, run: NewRun, now: number): Row | undefined {
  if (run.concurrencyKey === null) return undefined
  const candidates = [...tables.runs.values()].filter(
    ({ record }) =>
      record.jobName === run.jobName &&
      record.concurrencyKey === run.concurrencyKey &&
      isLegal('claim', record.status) &&
      record.startedAt === null &&
      (record.expireAt === null || record.expireAt > now),
  )
  return candidates.sort((a, b) => byDueTime(a.record, b.record))[0]
}

function insert(tables: Tables, run: NewRun, now: number): Row {
  const record = newRecord(run, now)
  const row: Row = {
    record,
    journal: [],
    mailbox: [],
    workerId: null,
    due: record.dueAt <= now,
    wakeAt: null,
    holdsKey: false,
  }
  append(row, 'run:trigger', {}, now)
  tables.runs.set(run.id, row)
  if (run.idempotencyKey !== null) {
    tables.idempotent.set(idempotencySlot(run.jobName, run.idempotencyKey), row)
  }
  return row
}
