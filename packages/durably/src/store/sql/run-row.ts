import type { Encoded, Format } from '../../core/codec.ts'
import type { ErrorDetail } from '../../core/error.ts'
import type { Labels, Progress, RunRecord, Wait } from '../../core/run.ts'
import type { RunStatus } from '../../core/transitions.ts'
import type { Row } from './database.ts'
import type { Tables } from './tables.ts'

/** The columns of a run called `r`, and `last_at`: steps do not touch the row, so its journal knows better. */
export function runColumns({ journal }: Tables): string {
  return `r.*, (select e.at from ${journal} e where e.run_id = r.id order by e.seq desc limit 1) as last_at`
}

/** The record in a row of `runColumns`, or of a statement that wrote the run just now and returns `*`. */
export function toRunRecord(row: Row): RunRecord {
  return {
    id: row.id as string,
    jobName: row.job as string,
    status: row.status as RunStatus,
    payload: { format: row.payload_format as Format, text: row.payload as string },
    output: toEncoded(row.output, row.output_format),
    error: toJson<ErrorDetail>(row.error),
    progress: toJson<Progress>(row.progress),
    idempotencyKey: row.idempotency_key as string | null,
    concurrencyKey: row.concurrency_key as string | null,
    labels: JSON.parse(row.labels as string) as Labels,
    priority: Number(row.priority),
    attempt: Number(row.attempt),
    generation: Number(row.generation),
    crashes: Number(row.crashes),
    executing: row.executing as string | null,
    parentRunId: row.parent_run_id as string | null,
    waitingFor: toJson<Wait[]>(row.waiting_for),
    dueAt: Number(row.due_at),
    expireAt: toNumber(row.expire_at),
    createdAt: Number(row.created_at),
    updatedAt: Math.max(Number(row.updated_at), Number(row.last_at ?? 0)),
    startedAt: toNumber(row.started_at),
    completedAt: toNumber(row.completed_at),
  }
}

function toEncoded(text: unknown, format: unknown): Encoded | null {
  return text === null ? null : { format: format as Format, text: text as string }
}

function toJson<T>(text: unknown): T | null {
  return text === null ? null : (JSON.parse(text as string) as T)
}

/** A number column: some drivers give 64-bit integers as strings. */
export function toNumber(value: unknown): number | null {
  return value === null ? null : Number(value)
}

/** A boolean column: some databases have only numbers. */
export function toBoolean(value: unknown): boolean {
  return value === true || Number(value) === 1
}
