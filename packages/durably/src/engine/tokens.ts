import type { StandardSchemaV1 } from '@standard-schema/spec'
import { encode } from '../core/codec.ts'
import { parseDuration } from '../core/parse-duration.ts'
import { ConflictError, ValidationError } from '../core/error.ts'
import { requireOptions } from '../core/require-object.ts'
import { requireSchema } from '../core/schema.ts'
import type { TokenOptions } from '../core/step-context.ts'
import { ONLY, record, type Result, type WaitOptions } from './wait.ts'

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
  /**
   * Throws `ValidationError` unless this run made it, `ConflictError` while a wait is open for it and once one took
   * what it was completed with.
   */
  known(text: unknown): KnownToken
  /**
   * The wait of this name is open for these tokens, each by the key of its branch. `read` tells of its outcome which
   * branch has ended it, and with what value.
   */
  awaited(
    wait: string,
    texts: ReadonlyMap<unknown, string>,
    outcome: Promise<unknown>,
    read: (outcome: unknown) => readonly [key: unknown, value: unknown],
  ): void
}

export function createTokens(options: WaitOptions): Tokens {
  const tokens = new Map<string, KnownToken>()
  const waits = new Map<string, string>()
  const { calls } = options
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
      return calls.make(
        name,
        'token',
        (call, { index }) => {
          const at = options.env.now()
          const begun = { call, index, at, branch: ONLY }
          void record(options, begun, () => secretFor(options, name, at, ms), null)
        },
        read,
      )
    },
    known(text) {
      const token = typeof text === 'string' ? tokens.get(text) : undefined
      if (token === undefined) {
        throw new ValidationError(
          'A run can wait for tokens of its own only: pass what step.token returned in this run',
        )
      }
      const wait = waits.get(token.token)
      if (wait === undefined) return token
      throw new ConflictError(
        `What token "${token.name}" is completed with goes to the wait "${wait}": use what that returns`,
      )
    },
    awaited(wait, texts, outcome, read) {
      for (const text of texts.values()) waits.set(text, wait)
      const freeAllBut = (taken: string | undefined): void => {
        for (const text of texts.values()) if (text !== taken) waits.delete(text)
      }
      // Before the code of the job hears of it.
      void outcome.then(
        (result) => {
          const [key, value] = read(result)
          const text = texts.get(key)
          const hasRunOut = value === null && tokens.get(text ?? '')?.expiresAt !== null
          freeAllBut(hasRunOut ? undefined : text)
        },
        (error) => {
          // What it was completed with may have been the wrong thing; or there was no such wait.
          const failure = calls.failureOf(error)
          const isOfWait = failure !== undefined && failure.step === wait
          freeAllBut(isOfWait ? texts.get(failure.branch ?? ONLY) : undefined)
        },
      )
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
