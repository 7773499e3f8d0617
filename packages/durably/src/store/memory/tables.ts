import type { Encoded } from '../../core/codec.ts'
import type { Entry, EntryDataByKind } from '../../core/journal.ts'
import { entryData } from '../../core/journal.ts'
import type { RunRecord } from '../../core/run.ts'
import {
  isTerminal,
  raisesGeneration,
  type TransitionName,
  transitions,
} from '../../core/transitions.ts'
import { KEPT_IDS_MS, type Fact, type Message, type NewToken } from '../store.ts'

export interface Tables {
  readonly runs: Map<string, Row>
  /** The run that has an idempotency key, by `idempotencySlot`. */
  readonly idempotent: Map<string, Row>
  readonly workers: Map<string, WorkerRow>
  /** Names of paused jobs. */
  readonly paused: Set<string>
  /** By their hash. */
  readonly tokens: Map<string, Token>
  /** The runs to be told of the end of a run, by its id. */
  readonly waiters: Map<string, Set<string>>
  /** When runs were deleted that had not been there for long. */
  readonly deleted: Map<string, number>
}

export interface WorkerRow {
  /** When its lease runs out. */
  readonly expiresAt: number
  readonly seenAt: number
  /** Those that it has, as it said when it claimed last. */
  readonly jobs: string
}

export interface Token extends NewToken {
  readonly runId: string
  /** The message that completed it. */
  messageId: string | null
}

/** A message that stays known by its id once it is read, so that it is never taken for a new one. */
export interface Letter extends Omit<Message, 'data'> {
  readonly id: string
  data: Encoded | null
  isRead: boolean
}

/** A run, its journal, and what only the store knows of it. */
export interface Row {
  /** Replaced when it changes, never changed: a record that was read stays as it was. */
  record: RunRecord
  /** Entry `seq` stands at index `seq - 1`. */
  readonly journal: Entry[]
  /** In order of arrival. */
  readonly mailbox: Letter[]
  /** Who has the lease. */
  workerId: string | null
  /** Its due time came and was noticed: what `promote` is for. */
  due: boolean
  /** When it is woken at the latest, if it waits. */
  wakeAt: number | null
  /** It was claimed and has not ended since, so its concurrency key is its own. */
  holdsKey: boolean
}

export function createTables(): Tables {
  return {
    runs: new Map(),
    idempotent: new Map(),
    workers: new Map(),
    paused: new Set(),
    tokens: new Map(),
    waiters: new Map(),
    deleted: new Map(),
  }
}

/** The run as it is read: whatever was journaled last has touched it. */
export function recordOf({ record, journal }: Row): RunRecord {
  const last = journal.at(-1)
  return last !== undefined && last.at > record.updatedAt
    ? { ...record, updatedAt: last.at }
    : record
}

/** The transitions that the store makes and journals by itself. */
type Journaled = Exclude<TransitionName, 'trigger' | 'park' | 'complete' | 'delete'>

/** Moves the run and says so in its journal. */
export function advance<T extends Journaled>(
  row: Row,
  transition: T,
  data: EntryDataByKind[(typeof transitions)[T]['event']],
  changes: Partial<RunRecord>,
  now: number,
): Fact {
  move(row, transition, changes, now)
  const entry = append(row, transitions[transition].event, data, now)
  return { run: recordOf(row), entry }
}

/** Changes the row as the table of transitions says. Whether it may is for the caller to ask. */
export function move(
  row: Row,
  transition: Exclude<TransitionName, 'delete'>,
  changes: Partial<RunRecord>,
  now: number,
): void {
  const { to } = transitions[transition]
  row.record = {
    ...row.record,
    ...changes,
    status: to,
    generation: row.record.generation + Number(raisesGeneration(transition)),
    updatedAt: now,
  }
  if (to !== 'running') row.workerId = null
  if (to !== 'waiting') {
    row.wakeAt = null
    row.record = { ...row.record, waitingFor: null }
  }
  if (isTerminal(to)) {
    row.record = { ...row.record, completedAt: changes.completedAt ?? now, executing: null }
    row.holdsKey = false
  }
}

/** Writes the next line of the run's journal. */
export function append<K extends Parameters<typeof entryData>[0]>(
  row: Row,
  kind: K,
  data: EntryDataByKind[K],
  now: number,
): Entry {
  const entry = {
    runId: row.record.id,
    seq: row.journal.length + 1,
    generation: row.record.generation,
    kind,
    name: null,
    at: now,
    data: entryData(kind, data),
  }
  row.journal.push(entry)
  return entry
}

/** Whoever has a name of a job and an idempotency key has one run. */
export function idempotencySlot(jobName: string, idempotencyKey: string): string {
  return JSON.stringify([jobName, idempotencyKey])
}

export function remove(tables: Tables, { record }: Row, now: number): void {
  const { id, jobName, idempotencyKey, createdAt } = record
  if (createdAt > now - KEPT_IDS_MS) keepId(tables, id, now)
  tables.runs.delete(id)
  if (idempotencyKey !== null) tables.idempotent.delete(idempotencySlot(jobName, idempotencyKey))
  for (const token of tables.tokens.values()) {
    if (token.runId === id) tables.tokens.delete(token.hash)
  }
  for (const waiting of tables.waiters.values()) waiting.delete(id)
}

function keepId({ deleted }: Tables, id: string, now: number): void {
  for (const [other, at] of deleted) if (at <= now - KEPT_IDS_MS) deleted.delete(other)
  deleted.set(id, now)
}
