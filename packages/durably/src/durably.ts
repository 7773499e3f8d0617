import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Dialect, Kysely } from 'kysely'
import type { Client } from './client/client.ts'
import type { Env } from './core/env.ts'
import { ValidationError } from './core/error.ts'
import type { Instance, Jobs } from './core/instance.ts'
import { readOptions, type EngineOptions } from './core/options.ts'
import { requireOptions, type Names } from './core/require-object.ts'
import type { GivenLabels, KeptLabels, Labels, LabelsSchema } from './core/run.ts'
import { show } from './core/show.ts'
import type { Wakeups } from './core/wakeups.ts'
import { createEngine } from './engine/engine.ts'
import { createLocalClient } from './engine/local-client.ts'
import { createClock, createEnv } from './env.ts'
import { createBus } from './events/bus.ts'
import { createHandler, type DurablyHandler, type HandlerOptions } from './http/handler.ts'
import { createSqlStore } from './store/sql/sql-store.ts'
import type { Store } from './store/store.ts'

/** The database, and how workers work on it. Everything but the dialect has a default. */
export interface DurablyOptions<
  TJobs extends Jobs = Jobs,
  TLabels extends LabelsSchema = StandardSchemaV1<Labels>,
> extends EngineOptions {
  /** A Kysely dialect: any for SQLite (better-sqlite3, libSQL, node:sqlite, …) or PostgreSQL (pg, postgres.js, PGlite). */
  readonly dialect: Dialect
  readonly jobs?: TJobs | undefined
  readonly labels?: TLabels | undefined
  /** SQLite: `'normal'` may lose the last commits in a power cut, but never consistency. Default `'full'`. */
  readonly synchronous?: 'full' | 'normal' | undefined
  /** What the names of Durably's tables begin with. Default `durably_`. */
  readonly tablePrefix?: string | undefined
}

/** An instance of Durably: the jobs, runs and events of one database, as one process sees them. */
export interface Durably<
  TJobs extends Jobs | null = null,
  TLabels = Labels,
  TGiven = GivenLabels<TLabels>,
> extends Instance<TJobs, TLabels, TGiven> {
  /** Kysely on the same database and connection; `db.$extendTables<AppTables>()` types it. */
  readonly db: Kysely<unknown>
}

/**
 * Creates an instance. Does no I/O. Throws a `ValidationError` that names the invalid option.
 *
 * @example
 * const durably = createDurably({ dialect })
 * await durably.init()
 * const { importCsv } = durably.register({ importCsv: importCsvJob })
 * await importCsv.trigger({ url: 'https://example.com/airports.csv' })
 */
export function createDurably<
  const TJobs extends Jobs,
  TLabels extends LabelsSchema = StandardSchemaV1<Labels>,
>(
  options: DurablyOptions<TJobs, TLabels> & { readonly jobs: TJobs },
): Durably<
  TJobs,
  KeptLabels<StandardSchemaV1.InferOutput<TLabels>>,
  StandardSchemaV1.InferInput<TLabels>
>
export function createDurably<TLabels extends LabelsSchema = StandardSchemaV1<Labels>>(
  options: DurablyOptions<Jobs, TLabels>,
): Durably<
  null,
  KeptLabels<StandardSchemaV1.InferOutput<TLabels>>,
  StandardSchemaV1.InferInput<TLabels>
>
export function createDurably(options: DurablyOptions): Durably<Jobs | null> {
  requireOptions(options, knownOptions)
  const { dialect, synchronous, tablePrefix } = options
  requireSynchronous(synchronous)
  const env = createEnv()
  const { store, db } = createSqlStore({
    dialect,
    env,
    ...(synchronous === undefined ? {} : { synchronous }),
    ...(tablePrefix === undefined ? {} : { tablePrefix }),
  })
  const { wakeups = (dialect as { readonly wakeups?: Wakeups }).wakeups } = options
  const engine = assemble(store, env, { ...options, wakeups })
  return { ...engine, db }
}

const knownOptions: Names<DurablyOptions> = {
  dialect: true,
  pollingInterval: true,
  heartbeatInterval: true,
  staleThreshold: true,
  maxConcurrentRuns: true,
  jobs: true,
  labels: true,
  retainRuns: true,
  maxCrashes: true,
  workerName: true,
  wakeups: true,
  codec: true,
  synchronous: true,
  tablePrefix: true,
}

function requireSynchronous(value: unknown): void {
  if (value === undefined || value === 'full' || value === 'normal') return
  throw new ValidationError(`synchronous must be 'full' or 'normal'; got ${show(value)}`)
}

/**
 * Serves Durably over HTTP, as a function from `Request` to `Response`, for any server that has these, and for Node's
 * own with `toNodeHandler`. Throws a `ValidationError` that names the invalid option.
 *
 * @example
 * const handler = createDurablyHandler(durably, {
 *   auth: { authenticate: (request) => (request.headers.has('x-user') ? {} : null) },
 * })
 * const response = await handler.handle(new Request('https://example.com/api/durably/runs'), '/api/durably')
 */
export function createDurablyHandler<TJobs extends Jobs | null, TLabels>(
  durably: Client<TJobs, TLabels>,
  options: HandlerOptions = {},
): DurablyHandler {
  return createHandler(durably as unknown as Client, options, createClock())
}

/** An instance over any store, in any environment. */
export function assemble(store: Store, env: Env, options: EngineOptions): Instance<Jobs | null> {
  const { wakeups = null, jobs } = options
  const settings = readOptions(options)
  const bus = createBus(settings.codec)
  const engine = createEngine({ store, env, settings, wakeups, audience: bus })
  const instance = createLocalClient(engine, bus)
  if (jobs !== undefined) instance.register(jobs)
  return instance
}
