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

/** Settings of an instance that do not depend on its database. */
export interface EngineOptions {
  /** How long an idle worker sleeps when no wake-up reaches it. Default 1000 ms. */
  readonly pollingInterval?: Duration | undefined
  /** How often the lease is renewed; less than `staleThreshold`. Default 5000 ms. */
  readonly heartbeatInterval?: Duration | undefined
  /** The runs of a worker that did not renew its lease for so long are taken over. Default 30000 ms. */
  readonly staleThreshold?: Duration | undefined
  /** Runs executed at once, 1 to 1000. Default 1. */
  readonly maxConcurrentRuns?: number | undefined
  /** Registers these at creation, so that `durably.jobs` is exactly typed. */
  readonly jobs?: Readonly<Record<string, JobDefinition>> | undefined
  /** What the labels of runs must be. */
  readonly labels?: StandardSchemaV1 | undefined
  /** Runs that ended longer ago are deleted. Default: kept. */
  readonly retainRuns?: Duration | undefined
  /**
   * A run whose worker died so often in a row fails, unless a step ended or the run came to a wait in between. Default 5.
   */
  readonly maxCrashes?: number | undefined
  /**
   * A name that one working process has at a time, such as that of the server: when one starts, what the one before
   * left behind is taken up at once, not after `staleThreshold`. Default: none.
   */
  readonly workerName?: string | undefined
  /** How processes on one database wake each other. */
  readonly wakeups?: Wakeups | undefined
  /** How values are stored. Default: JSON, and a rich form of it where plain JSON would lose something. */
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
