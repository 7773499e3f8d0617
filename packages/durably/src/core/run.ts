import type { StandardSchemaV1 } from '@standard-schema/spec'
import { decode, type Codec, type Encoded } from './codec.ts'
import { restoreError, type ErrorDetail } from './error.ts'
import type { RunStatus } from './transitions.ts'
import { unreadable } from './unreadable.ts'

/** Names and values that you give a run to find it by. */
export type Labels = Readonly<Record<string, string>>

/** A schema of labels; some of them may be absent. */
export type LabelsSchema = StandardSchemaV1<unknown, Readonly<Record<string, string | undefined>>>

/** The labels that are kept after a schema parsed them: an undefined label is absent. */
export type KeptLabels<TLabels> = { [K in keyof TLabels]: Exclude<TLabels[K], undefined> }

/** Labels as you give them. Without the schema's types, any of them may be undefined. */
export type GivenLabels<TLabels> = string extends keyof TLabels
  ? Readonly<Record<string, string | undefined>>
  : TLabels

/** How far a run says it is. */
export interface Progress {
  readonly current: number
  readonly total?: number
  readonly message?: string
}

/** What a parked run waits for, and until when (ISO string; null: no limit). */
export interface Wait {
  readonly kind: 'sleep' | 'retry' | 'signal' | 'token' | 'run' | 'key' | 'limit' | 'rate'
  readonly name: string
  readonly until: string | null
}

/** A run of a job. All times are ISO strings. */
export interface Run<TPayload = unknown, TOutput = unknown, TLabels = Labels> {
  readonly id: string
  readonly jobName: string
  /** In a list, an `Error` with the code `unreadable` if the stored value can no longer be read; so is `output`. */
  readonly payload: TPayload
  readonly status: RunStatus
  /** What the job returned; null before that, and if it returned nothing. */
  readonly output: TOutput | null
  /** The message of the error that the run failed with. */
  readonly error: string | null
  /** The same error with its name, stack, cause, and the step that it came from. */
  readonly errorDetail: ErrorDetail | null
  readonly progress: Progress | null
  readonly idempotencyKey: string | null
  readonly concurrencyKey: string | null
  readonly labels: TLabels
  /** From -100 to 100; higher goes first. */
  readonly priority: number
  /** 1, plus one each time the run was retried or taken over from a dead worker. */
  readonly attempt: number
  readonly parentRunId: string | null
  readonly waitingFor: readonly Wait[] | null
  readonly createdAt: string
  readonly updatedAt: string
  /** When the run first started. */
  readonly startedAt: string | null
  readonly completedAt: string | null
}

/** A run as the store keeps it: values still encoded, times in milliseconds since the epoch. */
export interface RunRecord {
  readonly id: string
  readonly jobName: string
  readonly status: RunStatus
  readonly payload: Encoded
  readonly output: Encoded | null
  readonly error: ErrorDetail | null
  readonly progress: Progress | null
  readonly idempotencyKey: string | null
  readonly concurrencyKey: string | null
  readonly labels: Labels
  readonly priority: number
  readonly attempt: number
  /** Raised whenever the lease changes hands; a write that carries an older one is refused. */
  readonly generation: number
  /** Workers that died in a row while they executed this run, no step having ended in between. */
  readonly crashes: number
  /** The step that was about to execute when it was last noted; kept for runs on their last chance only. */
  readonly executing: string | null
  /** Messages that its mailbox was ever given. */
  readonly inbox: number
  readonly parentRunId: string | null
  readonly waitingFor: readonly Wait[] | null
  /** When it is, or was, due to start. */
  readonly dueAt: number
  /** Cancelled unless started by then. */
  readonly expireAt: number | null
  readonly createdAt: number
  readonly updatedAt: number
  readonly startedAt: number | null
  readonly completedAt: number | null
}

const payloadOf = (id: string): string => `the payload of run ${id}`
const outputOf = (id: string): string => `the output of run ${id}`

/** The payload. Throws an error that names the run when it cannot be read. */
export function decodePayload(
  { id, payload }: Pick<RunRecord, 'id' | 'payload'>,
  codec: Codec,
): unknown {
  return decodePart(payload, codec, payloadOf(id))
}

/** The output, undefined for none. Throws an error that names the run when it cannot be read. */
export function decodeOutput(
  { id, output }: Pick<RunRecord, 'id' | 'output'>,
  codec: Codec,
): unknown {
  return output === null ? undefined : decodePart(output, codec, outputOf(id))
}

function decodePart(encoded: Encoded, codec: Codec, what: string): unknown {
  try {
    return decode(encoded, codec)
  } catch (cause) {
    throw unreadable(what, cause)
  }
}

/** The run that people see, of the record that the store keeps. Throws an error that names it if it cannot be read. */
export function toRun(record: RunRecord, codec: Codec): Run {
  return describe(record, decodePayload(record, codec), decodeOutput(record, codec))
}

/** The same in a list, where a value that cannot be read is an error: the other runs are to be seen. */
export function toListedRun(record: RunRecord, codec: Codec): Run {
  const { id } = record
  const payload = orError(payloadOf(id), () => decodePayload(record, codec))
  const output = orError(outputOf(id), () => decodeOutput(record, codec))
  return describe(record, payload, output)
}

/** The error as it crosses HTTP: nothing of what the codec says, nor of where its code is. */
function orError(what: string, read: () => unknown): unknown {
  try {
    return read()
  } catch {
    const { name, message, code } = unreadable(what)
    return restoreError({ name, message, code })
  }
}

function describe(record: RunRecord, payload: unknown, output: unknown): Run {
  const { error } = record
  const iso = (time: number): string => {
    if (Number.isNaN(new Date(time).getTime())) throw unreadable(`the times of run ${record.id}`)
    return toIso(time)
  }
  return {
    id: record.id,
    jobName: record.jobName,
    payload,
    status: record.status,
    output: output ?? null,
    error: error?.message ?? null,
    errorDetail: error,
    progress: record.progress,
    idempotencyKey: record.idempotencyKey,
    concurrencyKey: record.concurrencyKey,
    labels: record.labels,
    priority: record.priority,
    attempt: record.attempt,
    parentRunId: record.parentRunId,
    waitingFor: record.waitingFor,
    createdAt: iso(record.createdAt),
    updatedAt: iso(record.updatedAt),
    startedAt: record.startedAt === null ? null : iso(record.startedAt),
    completedAt: record.completedAt === null ? null : iso(record.completedAt),
  }
}

/** A time of the store as people see it. */
export function toIso(time: number): string {
  return new Date(time).toISOString()
}
