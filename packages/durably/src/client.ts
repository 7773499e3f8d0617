import type { Client } from './client/client.ts'
import { createHttpClient, type ClientOptions } from './client/http-client.ts'
import type { Instance } from './core/instance.ts'
import { createClock } from './env.ts'

export type { Client, ClientHandle } from './client/client.ts'
export type { ClientOptions } from './client/http-client.ts'
export {
  CancelledError,
  ConflictError,
  DurablyError,
  NotFoundError,
  RunFailedError,
  TimeoutError,
  ValidationError,
} from './core/error.ts'
export type { DurablyEvent, RunChange } from './core/event.ts'
export type { Run } from './core/run.ts'
export type { Log, Step } from './core/step.ts'
export type { RunStatus } from './core/transitions.ts'

interface HasJobs {
  readonly jobs: unknown
}

/** The client of an instance: typed by its jobs if they are its `jobs` option, else a client of any jobs. */
export type ClientOf<T extends HasJobs> =
  T extends Instance<infer TJobs, infer TLabels, never> ? Client<TJobs, TLabels> : Client

/**
 * Creates a client of the handler at `api`, with the types of the server's jobs and none of their code. Does no I/O.
 * Throws `ValidationError` without an `api`. Its functions reject with the server's errors, of the same classes, and
 * with a `DurablyError` whose code is `unavailable` if nothing answers, or `misdirected` if something else does.
 *
 * @example
 * import type { durably } from './server'
 *
 * const client = createDurablyClient<typeof durably>({ api: '/api/durably' })
 * const run = await client.jobs.importUsers.trigger({ url: 'https://example.com/users.csv' })
 * for await (const event of client.subscribe(run.id)) console.log(event.type)
 */
export function createDurablyClient<T extends HasJobs = HasJobs>(
  options: ClientOptions,
): ClientOf<T> {
  return createHttpClient(options, createClock()) as ClientOf<T>
}
