import type { StandardSchemaV1 } from '@standard-schema/spec'
import { richCodec, type Codec } from './codec.ts'
import type { Duration } from './duration.ts'
import { parseDuration, requirePeriod } from './parse-duration.ts'
import { ValidationError } from './error.ts'
import { requireInteger } from './filter.ts'
import { requireText } from './require-text.ts'
import type { JobDefinition } from './job.ts'
import { requireSchema } from './schema.ts'
import { show } from './show.ts'
import type { Wakeups } from './wakeups.ts'

/** Options of an instance that do not depend on its database. */
export interface EngineOptions {
  /** How long an idle worker sleeps when no wake-up reaches it. Default 1000 ms. */
  readonly pollingInterval?: Duration | undefined
  /** How often the lease is renewed; less than `staleThreshold`. Default 5000 ms. */
  readonly heartbeatInterval?: Duration | undefined
  /** The runs of a worker that has not renewed its lease for this long are taken over. Default 30000 ms. */
  readonly staleThreshold?: Duration | undefined
  /** How many runs this worker executes at once, 1 to 1000. Default 1. */
  readonly maxConcurrentRuns?: number | undefined
  /** Jobs to register at creation. They make `durably.jobs` exactly typed. */
  readonly jobs?: Readonly<Record<string, JobDefinition>> | undefined
  /** A schema that the labels of runs must match. Default: any strings. */
  readonly labels?: StandardSchemaV1 | undefined
  /** Runs that ended longer ago than this are deleted. Default: all runs are kept. */
  readonly retainRuns?: Duration | undefined
  /** After this many worker deaths in a row, a run fails. A step that ends, or a wait, resets the count. Default 5. */
  readonly maxCrashes?: number | undefined
  /**
   * A name that only one working process has at a time, such as the server's. When one starts, it takes up at once what
   * the one before it left, not after `staleThreshold`. Default: none.
   */
  readonly workerName?: string | undefined
  /** How processes on one database wake each other. */
  readonly wakeups?: Wakeups | undefined
  /** How values are stored. Default: JSON, or a rich form of it where plain JSON would lose something. */
  readonly codec?: Codec | undefined
}

/** The same, read and complete. Durations in milliseconds. */
export interface Settings {
  readonly pollMs: number
  readonly heartbeatMs: number
  readonly leaseMs: number
  readonly slots: number
  readonly maxCrashes: number
  readonly retainMs: number | null
  readonly workerName: string | null
  readonly codec: Codec
  readonly labels: StandardSchemaV1 | null
}

/** Throws `ValidationError` that names the option that is wrong. */
export function readOptions(options: EngineOptions): Settings {
  const { retainRuns, maxConcurrentRuns = 1, maxCrashes = 5 } = options
  const { pollingInterval = 1000, heartbeatInterval = 5000, staleThreshold = 30_000 } = options
  const pollMs = requirePeriod(pollingInterval, 'pollingInterval')
  const heartbeatMs = requirePeriod(heartbeatInterval, 'heartbeatInterval')
  const leaseMs = requirePeriod(staleThreshold, 'staleThreshold')
  if (heartbeatMs >= leaseMs) {
    throw new ValidationError(
      `heartbeatInterval (${heartbeatMs} ms) must be less than staleThreshold (${leaseMs} ms), or leases run out between two renewals`,
    )
  }
  const { codec = richCodec, labels, wakeups, workerName } = options
  requireFunctions(codec, 'codec', ['encode', 'decode'])
  if (wakeups !== undefined) requireFunctions(wakeups, 'wakeups', ['listen', 'notify'])
  if (labels !== undefined) requireSchema(labels, 'labels')
  if (workerName !== undefined) requireText(workerName, 'workerName')
  return {
    pollMs,
    heartbeatMs,
    leaseMs,
    slots: requireInteger(maxConcurrentRuns, 'maxConcurrentRuns', 1, 1000),
    maxCrashes: requireInteger(maxCrashes, 'maxCrashes', 1, 1_000_000),
    retainMs: retainRuns === undefined ? null : parseDuration(retainRuns, 'retainRuns'),
    workerName: workerName ?? null,
    codec,
    labels: labels ?? null,
  }
}

const list = new Intl.ListFormat('en')

/** Throws `ValidationError` unless `value` has functions of these names. */
export function requireFunctions(value: unknown, option: string, names: readonly string[]): void {
  const functions = (value ?? {}) as Readonly<Record<string, unknown>>
  if (names.every((name) => typeof functions[name] === 'function')) return
  const needed = `${names.length === 1 ? 'function' : 'functions'} ${list.format(names)}`
  throw new ValidationError(`${option} must have the ${needed}; got ${show(value)}`)
}
