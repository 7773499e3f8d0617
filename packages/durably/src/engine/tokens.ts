import type { StandardSchemaV1 } from '@standard-schema/spec'
import { encode } from '../core/codec.ts'
import { parseDuration } from '../core/duration.ts'
import { ConflictError, ValidationError } from '../core/error.ts'
import { requireOptions } from '../core/require-object.ts'
import { requireSchema } from '../core/schema.ts'
import type { TokenOptions } from '../core/step-context.ts'
import { record, type Result, type WaitOptions } from './wait.ts'

/** The result of the step that made a token. */
interface StoredToken {
  readonly token: string
  readonly expiresAt: number | null
}

interface KnownToken extends StoredToken {
  /** Of the step that made it. */
  readonly name: string
  readonly schema: StandardSchemaV1 | null
}

/** The tokens of a run. */
export interface Tokens {
  make(name: string, options?: TokenOptions<unknown>): Promise<unknown>
  /** Throws `ValidationError` unless this run made it, `ConflictError` when a wait took what it was completed with. */
  known(text: unknown): KnownToken
  /** The wait ended by it, with this value; null also when it ran out. Returns the value. */
  took(text: string, wait: string, value: unknown): unknown
}

export function createTokens(options: WaitOptions): Tokens {
  const tokens = new Map<string, KnownToken>()
  const takers = new Map<string, string>()
  return {
    make(name, tokenOptions = {}) {
      requireOptions(tokenOptions, { timeout: true, schema: true })
      const { timeout, schema = null } = tokenOptions
      if (schema !== null) requireSchema(schema, `schema of token "${name}"`)
      const ms = timeout === undefined ? null : parseDuration(timeout, `timeout of token "${name}"`)
      const read = (value: unknown): string => {
        const stored = value as StoredToken
        tokens.set(stored.token, { ...stored, name, schema })
        return stored.token
      }
      return options.calls.make(
        name,
        (call, { index }) => {
          const at = options.env.now()
          void record(options, { call, index, at }, () => secretFor(options, name, at, ms), null)
        },
        read,
      )
    },
    known(text) {
      const token = typeof text === 'string' ? tokens.get(text) : undefined
      const taker = typeof text === 'string' ? takers.get(text) : undefined
      if (taker !== undefined) {
        throw new ConflictError(
          `What token "${token?.name}" was completed with went to the wait "${taker}": use what that returned`,
        )
      }
      if (token !== undefined) return token
      throw new ValidationError(
        'A run can wait for tokens of its own only: pass what step.token returned in this run',
      )
    },
    took(text, wait, value) {
      const hasRunOut = value === null && tokens.get(text)?.expiresAt !== null
      if (!hasRunOut) takers.set(text, wait)
      return value
    },
  }
}

/** It stands in the journal of its run before anyone has it; everyone else finds it by its hash. */
async function secretFor(
  { env, codec }: WaitOptions,
  name: string,
  at: number,
  ms: number | null,
): Promise<Result> {
  const token = env.secret()
  const expiresAt = ms === null ? null : at + ms
  const hash = await env.digest(token)
  const output = await encode({ token, expiresAt } satisfies StoredToken, codec, `token "${name}"`)
  return { output, token: { hash, name, expiresAt } }
}
