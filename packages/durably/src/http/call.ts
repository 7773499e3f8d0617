import type { Client } from '../client/client.ts'
import type { Env } from '../core/env.ts'
import type { Access } from './access.ts'

/** A request that was let in. */
export interface Call {
  readonly client: Client
  readonly access: Access
  readonly request: Request
  readonly query: URLSearchParams
  readonly env: Pick<Env, 'after'>
  /** Throws when too many event streams are open. Returns what to call when this one ends. */
  openStream(): () => void
  /** An event stream broke, and whoever reads it cannot be told why. */
  onError(error: unknown): void
  /** The object in the request's body; without `ifNone` there must be one. */
  body(ifNone?: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>>>
}

/** Answers with a value to be sent, or with a whole response. */
export type Route = (call: Call) => Promise<unknown>
