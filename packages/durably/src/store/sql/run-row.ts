import type { Encoded, Format } from '../../core/codec.ts'
import { isErrorDetail, type ErrorDetail } from '../../core/error.ts'
import type { Labels, Progress, RunRecord, Wait } from '../../core/run.ts'
import type { RunStatus } from '../../core/transitions.ts'
import { unreadable } from '../../core/unreadable.ts'
import type { Row } from './database.ts'
import type { Tables } from './tables.ts'

/** The columns of a run called `r`, and `last_at`: steps do not touch the row, so its journal knows better. */
export function runColumns({ journal }: Tables): string {
  return `r.*, (select e.at from ${journal} e where e.run = r.number order by e.seq desc limit 1) as last_at`
}

/**
 * What a statement returns of a run that it has claimed: the rest is null then. Drivers take their time for each
 * column, that of libSQL some 10 µs.
 */
export const claimedColumns = `number, id, job, status, priority, due_at, concurrency_key, generation, attempt, crashes,
  inbox, executing, idempotency_key, parent_run_id, created_at, updated_at, started_at, progress, labels,
  payload_format, payload`

/**
 * The record in a row of `runColumns`, or of a statement that wrote the run just now: what it does not return is null.
 * A database can be changed by anyone: what cannot be read counts as not there, so that one run never stops a worker.
 */
export function toRunRecord(row: Row): RunRecord {
  return {
    id: row.id as string,
    jobName: row.job as string,
    status: row.status as RunStatus,
    payload: { format: row.payload_format as Format, text: row.payload as string },
    output: toEncoded(row.output, row.output_format),
    error: toError(row),
    progress: readJson(row.progress, isProgress),
    idempotencyKey: row.idempotency_key as string | null,
    concurrencyKey: row.concurrency_key as string | null,
    labels: readJson(row.labels, isLabels) ?? {},
    priority: Number(row.priority),
    attempt: Number(row.attempt),
    generation: Number(row.generation),
    crashes: Number(row.crashes),
    executing: row.executing as string | null,
    inbox: Number(row.inbox),
    parentRunId: row.parent_run_id as string | null,
    waitingFor: readJson(row.waiting_for, isWaits),
    dueAt: Number(row.due_at),
    expireAt: toNumber(row.expire_at),
    createdAt: Number(row.created_at),
    updatedAt: Math.max(Number(row.updated_at), Number(row.last_at ?? 0)),
    startedAt: toNumber(row.started_at),
    completedAt: toNumber(row.completed_at),
  }
}

function toEncoded(text: unknown, format: unknown): Encoded | null {
  return typeof text === 'string' ? { format: format as Format, text } : null
}

function toError({ id, error }: Row): ErrorDetail | null {
  if (typeof error !== 'string') return null
  const { name, message } = unreadable(`the error of run ${String(id)}`)
  return readJson(error, isErrorDetail) ?? { name, message }
}

function readJson<T>(text: unknown, is: (value: unknown) => value is T): T | null {
  if (typeof text !== 'string') return null
  try {
    const value: unknown = JSON.parse(text)
    return is(value) ? value : null
  } catch {
    return null
  }
}

function isProgress(value: unknown): value is Progress {
  return typeof (value as Partial<Progress> | null)?.current === 'number'
}

function isLabels(value: unknown): value is Labels {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((label) => typeof label === 'string')
  )
}

function isWaits(value: unknown): value is Wait[] {
  return Array.isArray(value)
}

/** A number column: some drivers give 64-bit integers as strings. */
export function toNumber(value: unknown): number | null {
  return (value ?? null) === null ? null : Number(value)
}

/** A boolean column: some databases have only numbers. */
export function toBoolean(value: unknown): boolean {
  return value === true || Number(value) === 1
}
