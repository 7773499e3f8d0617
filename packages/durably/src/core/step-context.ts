import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Duration } from './duration.ts'
import type { LogLevel } from './journal.ts'
import type { Retry } from './retry.ts'
import type { Branches, First, Token } from './wait.ts'

/** Writes lines to the run's log. They become durable with the next step, or shortly after. */
export type StepLog = {
  readonly [L in LogLevel]: (message: string, data?: unknown) => void
}

/** What a step function is told about its execution. */
export interface StepInfo {
  /** Of this step: 1 the first time, one more for each attempt that failed before. */
  readonly attempt: number
  /** The same for every attempt of this step of this run: for APIs that drop repeated requests. */
  readonly idempotencyKey: string
  /** The run's log, bound to this step. */
  readonly log: StepLog
  /** `step.stream`, bound to this step. */
  readonly stream: <T>(name: string) => WritableStream<T>
}

/** How a step is executed. What is absent here is as the job says it for all its steps. */
export interface StepOptions {
  /** Default: a step that fails is not tried again. */
  readonly retry?: Retry | undefined
  /**
   * How long one attempt may take. After it the attempt has failed with a `TimeoutError`, its signal fires, and
   * what it returns later is dropped. The next attempt waits for its function to end, at most so long again.
   */
  readonly timeout?: Duration | undefined
}

/** What the data of each signal must be. */
export type Signals = Readonly<Record<string, StandardSchemaV1>>

type SignalData<S extends Signals, N extends keyof S> = StandardSchemaV1.InferOutput<S[N]>

/** What a job is given to do its work with. */
export interface StepContext<TSignals extends Signals = Signals> {
  readonly runId: string
  /** Of the run: 1, and one more for each worker that died under it and each retry. */
  readonly attempt: number
  /** Fires when the run is cancelled, its worker is stopped for good, or another worker has taken it. */
  readonly abortSignal: AbortSignal
  /**
   * Runs `fn` and stores what it returns; resolves once that is durable. On any later execution of the run the
   * stored value is returned and `fn` is not called. Names are unique within a run, among steps and waits.
   *
   * Rejects with what `fn` threw (as a copy: same name, message, stack, cause), `DuplicateStepError`,
   * `SerializationError` when the result cannot be stored, `TimeoutError` after `timeout`, and `CancelledError`
   * once the run is cancelled.
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
   * Waits, for seconds or for months: until then the run uses no slot, and memory for its suspended code only while it
   * is among the last 1,000 that the process parked. `durably.wake` ends it early.
   */
  sleep(name: string, duration: Duration): Promise<void>
  /** The same, until a point in time. */
  sleepUntil(name: string, date: Date): Promise<void>
  /**
   * Waits for the signal of this name and resolves with its data; with a `timeout`, with null after it. Signals
   * that were sent before are waiting already, in the order in which they came. Rejects with `ValidationError`
   * when the data is not what `schema` wants.
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
   * Makes a token with which someone outside can complete a wait: mail it, or put it into an address. With a
   * `timeout` it is void after it, and its wait ends with null.
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
  /** Waits until the token is completed and resolves with the value it was completed with. */
  waitForToken<T>(name: string, token: Token<T>): Promise<T>
  /**
   * Waits for whichever comes first. That is recorded; the others are left as they are: a signal stays in the
   * mailbox, a token stays valid, a run goes on. The branches are made with `wait`.
   */
  waitAny<const B extends Branches>(name: string, branches: B): Promise<First<B>>
  /**
   * A stream that the step whose function calls this writes while it executes: whoever follows the run reads its
   * chunks as they come. What a failed attempt wrote is void, for every reader. Chunks are stored like log lines,
   * many at a time; `close` resolves when all are. Throws `ValidationError` outside of a step.
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
  /** Says how far the run is. The last value is always kept; those before it may be skipped. */
  progress(current: number, total?: number, message?: string): void
}

/** How long to wait for a signal, and what its data must be. */
export interface SignalOptions<T> {
  readonly timeout?: Duration | undefined
  /** Checks the data when it is consumed. */
  readonly schema?: StandardSchemaV1<unknown, T> | undefined
}

/** How long a token is valid, and what it must be completed with. */
export interface TokenOptions<T> {
  readonly timeout?: Duration | undefined
  /** Checks the value when it is consumed. */
  readonly schema?: StandardSchemaV1<unknown, T> | undefined
}
