import type { Format } from './codec.ts'

/** What Durably's own client sends and asks for: a value, and beside it how it is encoded. Others get plain JSON. */
export const RICH_TYPE = 'application/vnd.durably+json'

/** A body or an event of that type, before it is JSON. */
export interface Envelope {
  readonly format: Extract<Format, 'json' | 'rich'>
  readonly value: unknown
}

/** An error as it crosses HTTP. */
export interface ErrorBody {
  readonly error: {
    readonly code: string
    readonly message: string
    readonly issues?: readonly unknown[]
  }
}
