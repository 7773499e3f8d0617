import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Duration } from './duration.ts'
import type { LogLevel } from './journal.ts'
import type { Retry } from './retry.ts'
import type { Branches, First, Token } from './wait.ts'

/** Writes lines to the run's log. They become durable with the next step, or shortly after. */
export type StepLog = {
  readonly [L in LogLevel]: (message: string, data?: unknown) => void
}

/** What a step's function is told about this execution. */
export interface StepInfo {
  /** The attempt of this step: 1 the first time, plus one for each attempt that failed before. */
  readonly attempt: number
  /** The same for every attempt of this step in this run: pass it to APIs that drop repeated requests. */
  readonly idempotencyKey: string
  /** The run's log, bound to this step. */
  readonly log: StepLog
  /** `step.stream`, bound to this step. */
  readonly stream: <T>(name: string) => WritableStream<T>
}

/** How a step is executed. Options that you leave out come from the job. */
export interface StepOptions {
  /** Default: a failed step is not tried again. */
  readonly retry?: Retry | undefined
  /**
   * How long one attempt may take. After that, it fails with a `TimeoutError`, its signal fires, and what it returns
   * later is dropped. The next attempt waits for that function to end, at most the same time again.
   */
  readonly timeout?: Duration | undefined
}

/** A schema for the data of each signal, by the signal's name. */
export type Signals = Readonly<Record<string, StandardSchemaV1>>

type SignalData<S extends Signals, N extends keyof S> = StandardSchemaV1.InferOutput<S[N]>

/** What a job works with: its steps, waits, log and progress. */
export interface StepContext<TSignals extends Signals = Signals> {
  readonly runId: string
  /** The attempt of the run: 1, plus one for each worker that died while executing it and for each retry. */
  readonly attempt: number
  /** Fires when the run is cancelled, handed back by a worker that stops, or taken over by another worker. */
  readonly abortSignal: AbortSignal
  /**
   * Runs `fn` and stores what it returns; resolves once that is durable. A later execution of the run returns the
   * stored value without calling `fn`. Names are unique within a run, among steps and waits.
   *
   * Rejects with what `fn` threw (a copy with the same name, message, stack and cause), `DuplicateStepError`,
   * `SerializationError` if the result cannot be stored, `TimeoutError` after `timeout`, and `CancelledError` once the
   * run is cancelled.
   *
   * @example
   * const user = await step.run('load user', () => api.loadUser(payload.id), { retry: { attempts: 5 } })
   */
  run<T>(
    name: string,
    fn: (signal: AbortSignal, info: StepInfo) => T | Promise<T>,
    options?: StepOptions,
  ): Promise<T>
  /**
   * Waits, for seconds or for months. Meanwhile the run uses no slot; its suspended code stays in memory only while the
   * run is among the last 1,000 that the process parked. `durably.wake` ends the sleep early.
   */
  sleep(name: string, duration: Duration): Promise<void>
  /** Like `sleep`, until a point in time. */
  sleepUntil(name: string, date: Date): Promise<void>
  /**
   * Waits for the signal of this name and resolves with its data, or with null after the `timeout`. Signals that were
   * sent earlier are kept, and taken in the order in which they came. Rejects with `ValidationError` if `schema`
   * refuses the data.
   *
   * @example
   * const decision = await step.waitForSignal('decision', { timeout: '3d' })
   */
  waitForSignal<N extends keyof TSignals & string>(
    name: N,
    options?: { readonly timeout?: undefined; readonly schema?: undefined },
  ): Promise<SignalData<TSignals, N>>
  waitForSignal<N extends keyof TSignals & string>(
    name: N,
    options: { readonly timeout?: Duration | undefined; readonly schema?: undefined },
  ): Promise<SignalData<TSignals, N> | null>
  waitForSignal<T>(
    name: keyof TSignals & string,
    options: { readonly timeout?: undefined; readonly schema: StandardSchemaV1<unknown, T> },
  ): Promise<T>
  waitForSignal<T>(
    name: keyof TSignals & string,
    options: SignalOptions<T> & { readonly schema: StandardSchemaV1<unknown, T> },
  ): Promise<T | null>
  waitForSignal<T>(name: keyof TSignals & string, options: SignalOptions<T>): Promise<T | null>
  /**
   * Makes a token with which someone outside can complete a wait: put it in a mail or a URL. After the `timeout` it is
   * void, and its wait ends with null.
   *
   * @example
   * const token = await step.token('approval', { timeout: '7d', schema: z.object({ ok: z.boolean() }) })
   * await step.run('ask', () => mail(`https://example.com/approve/${token}`))
   * const approval = await step.waitForToken('approved', token)
   */
  token<T = unknown>(
    name: string,
    options?: TokenOptions<T> & { readonly timeout?: undefined },
  ): Promise<Token<T>>
  token<T = unknown>(name: string, options: TokenOptions<T>): Promise<Token<T | null>>
  /** Waits until the token is completed, and resolves with the value it was completed with. */
  waitForToken<T>(name: string, token: Token<T>): Promise<T>
  /**
   * Waits for whichever branch comes first, and records which one it was. The others stay as they are: a signal stays
   * in the mailbox, a token stays valid, a run goes on. Make the branches with `wait`.
   */
  waitAny<const B extends Branches>(name: string, branches: B): Promise<First<B>>
  /**
   * A stream to write to while the step executes. Call it inside a step's function; elsewhere it throws
   * `ValidationError`. Anyone who follows the run reads the chunks as they come. What a failed attempt wrote is void
   * for every reader. Chunks are stored like log lines, many at a time; `close` resolves when all are stored.
   *
   * @example
   * await step.run('answer', async () => {
   *   const writer = step.stream<string>('words').getWriter()
   *   for (const word of ['Hello', 'world']) await writer.write(word)
   *   await writer.close()
   * })
   */
  stream<T>(name: string): WritableStream<T>
  readonly log: StepLog
  /** Tells how far the run is. The last value is always kept; earlier ones may be skipped. */
  progress(current: number, total?: number, message?: string): void
}

/** How long to wait for a signal, and what its data must be. */
export interface SignalOptions<T> {
  readonly timeout?: Duration | undefined
  /** Checks the data when the run takes it. */
  readonly schema?: StandardSchemaV1<unknown, T> | undefined
}

/** How long a token is valid, and what its value must be. */
export interface TokenOptions<T> {
  readonly timeout?: Duration | undefined
  /** Checks the value when the run takes it. */
  readonly schema?: StandardSchemaV1<unknown, T> | undefined
}
