import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Duration } from './duration.ts'
import { parseDuration } from './parse-duration.ts'
import { requireText } from './require-text.ts'
import { requireDate } from './require-date.ts'
import { requireSchema } from './schema.ts'
import type { RunStatus } from './transitions.ts'

declare const carried: unique symbol

/** The right to complete a wait from outside with a value of type `T`. It is a string: put it in a mail or a URL. */
export type Token<T = unknown> = string & { readonly [carried]?: T }

/** One thing that `step.waitAny` can wait for. It ends with a value of type `T`. */
export interface Branch<T> {
  readonly what: BranchOf
  readonly [carried]?: T
}

/** What a branch is, in plain data. */
export type BranchOf =
  | { readonly kind: 'signal'; readonly name: string; readonly schema: StandardSchemaV1 | null }
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'run'; readonly runId: string }
  | { readonly kind: 'for'; readonly ms: number }
  | { readonly kind: 'until'; readonly time: number }

/** The end of a run that you waited for. */
export interface RunEnd<TOutput = unknown> {
  readonly id: string
  readonly status: RunStatus
  /** Null if the run did not complete, or returned nothing. */
  readonly output: TOutput | null
  /** The message of the error that the run failed with. */
  readonly error: string | null
}

/** The branches, each under a name of your choice. */
export type Branches = Readonly<Record<string, Branch<unknown>>>

/** Which branch came first, and the value it came with. */
export type First<B extends Branches> = {
  readonly [K in keyof B]: {
    readonly key: K
    readonly value: B[K] extends Branch<infer T> ? T : never
  }
}[keyof B]

/**
 * Makes the branches of `step.waitAny`. Each function throws `ValidationError` if it cannot wait for what it is given.
 *
 * @example
 * const first = await step.waitAny('decision', {
 *   decided: wait.signal('decision', { schema: z.object({ ok: z.boolean() }) }),
 *   late: wait.for('3d'),
 * })
 * if (first.key === 'late') await step.run('escalate', () => escalate(payload.id))
 */
export const wait = {
  /** A signal of this name. The value is its data. */
  signal<T = unknown>(
    name: string,
    options: { readonly schema?: StandardSchemaV1<unknown, T> | undefined } = {},
  ): Branch<T> {
    requireText(name, 'signal name')
    const { schema = null } = options
    if (schema !== null) requireSchema(schema, `schema of signal "${name}"`)
    return { what: { kind: 'signal', name, schema } }
  },
  /** The completion of a token that `step.token` made in the same run. */
  token<T>(token: Token<T>): Branch<T> {
    requireText(token, 'token')
    return { what: { kind: 'token', token } }
  },
  /** The end of any run, however it ends. */
  run<TOutput = unknown>(runId: string): Branch<RunEnd<TOutput>> {
    requireText(runId, 'run id')
    return { what: { kind: 'run', runId } }
  },
  /** This much time after the wait began. */
  for(duration: Duration): Branch<null> {
    return { what: { kind: 'for', ms: parseDuration(duration, 'duration') } }
  },
  /** A point in time. */
  until(date: Date): Branch<null> {
    return { what: { kind: 'until', time: requireDate(date, 'date') } }
  },
} as const
