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

/** The client of an instance that has its jobs as the `jobs` option; of another one, a client of any jobs. */
export type ClientOf<T extends HasJobs> =
  T extends Instance<infer TJobs, infer TLabels, never> ? Client<TJobs, TLabels> : Client

/**
 * A client of the handler at `api`, with the types of the server's jobs and none of their code. Does no I/O.
 * Throws `ValidationError` without an `api`. What its functions reject with are the errors of the server, of the same
 * classes, and a `DurablyError` with the code `unavailable` when nobody answers, `misdirected` when someone else does.
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
