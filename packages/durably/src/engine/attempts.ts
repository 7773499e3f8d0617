import { encode, type Codec, type Encoded } from '../core/codec.ts'
import { atMost, type Env, type Scope } from '../core/env.ts'
import { describeError } from '../core/describe-error.ts'
import { isMadeBy, SerializationError, TimeoutError } from '../core/error.ts'
import { entryData, stepCompleteData } from '../core/journal.ts'
import type { NextDelay } from '../core/retry.ts'
import type { RunRecord } from '../core/run.ts'
import type { StepInfo } from '../core/step-context.ts'
import { RejectedWriteError } from '../store/store.ts'
import type { Call, Calls } from './calls.ts'
import { createChunks, type Chunks } from './chunks.ts'
import type { Outbox } from './outbox.ts'
import type { Past } from './past.ts'
import type { RunLog } from './run-log.ts'
import type { Suspension } from './suspension.ts'
import type { Waits } from './waits.ts'

/** Which step the code that runs right now belongs to. */
export interface StepScope {
  readonly steps: object
  readonly name: string
}

/** Says what stands in no journal. */
export type Tick = (type: 'step:start', name: string, index: number) => void

export type StepFunction = (signal: AbortSignal, info: StepInfo) => unknown

/** How the attempts of a step are made. */
export interface How {
  readonly nextDelay: NextDelay
  readonly timeoutMs: number | null
}

/** Executes steps: each until it has a result, or no attempt is left. */
export interface Attempts {
  perform(call: Call, past: Past, fn: StepFunction, how: How): void
  /** Steps whose functions execute, and the streams that they write. */
  readonly executing: ReadonlyMap<string, Chunks>
  /** Nothing of it is waited for any more: no timer stays behind. */
  close(): void
}

export interface AttemptsOptions {
  readonly run: RunRecord
  readonly calls: Calls
  readonly outbox: Outbox
  readonly waits: Waits
  readonly suspension: Suspension
  readonly log: RunLog
  readonly env: Env
  readonly codec: Codec
  readonly signal: AbortSignal
  readonly scope: Scope<StepScope> | null
  /** What `scope` is given to tell this execution from others. */
  readonly owner: object
  /** Steps are noted in the run before they execute: should the worker die once more, the run names its step. */
  readonly noteSteps: boolean
  /** Null while the lease holds. Else resolves when it is known whether the run is still this worker's. */
  readonly confirmLease: () => Promise<void> | null
  readonly tick: Tick
  readonly onError: (error: unknown, context: string, run: RunRecord) => void
}

interface State extends AttemptsOptions {
  readonly executing: Map<string, Chunks>
  /** What takes back the timers that are set. */
  readonly timers: Set<() => void>
}

interface Step {
  readonly call: Call
  readonly past: Past
  readonly fn: StepFunction
  readonly how: How
  /** The function of the attempt before: it took too long, and may be at work still. */
  lingering: Promise<unknown> | null
}

/** A delay from this on is a wait like others, during which the run can be parked. */
const LONG_DELAY_MS = 1000

export function createAttempts(options: AttemptsOptions): Attempts {
  const attempts: State = { ...options, executing: new Map(), timers: new Set() }
  return {
    executing: attempts.executing,
    perform(call, past, fn, how) {
      const step = { call, past, fn, how, lingering: null }
      if (past.retryAt === null) void attempt(attempts, step)
      else backOff(attempts, step, past.retryAt)
    },
    close() {
      for (const cancel of attempts.timers) cancel()
      attempts.timers.clear()
    },
  }
}

/** Calls `fn` after so long, unless all is over by then; the returned function takes the call back. */
function after({ env, timers }: State, ms: number, fn: () => void): () => void {
  const cancelTimer = env.after(ms, () => {
    timers.delete(cancel)
    fn()
  })
  const cancel = (): void => {
    timers.delete(cancel)
    cancelTimer()
  }
  timers.add(cancel)
  return cancel
}

/** One attempt; `woken`: the message that ended the wait for it, by its position in the mailbox. */
async function attempt(attempts: State, step: Step, woken?: number): Promise<void> {
  const { env, outbox, calls, suspension, codec } = attempts
  const { name, index } = step.past
  suspension.enter()
  if (attempts.noteSteps) await outbox.note(name)
  const confirmed = attempts.confirmLease()
  // What happens outside the database cannot be refused afterwards.
  if (confirmed !== null) await confirmed
  if (calls.isOver()) return
  attempts.tick('step:start', name, index)
  const begun = { at: env.elapsed(), consumes: woken }
  try {
    const encoded = encode(await perform(attempts, step), codec, `output of step "${name}"`)
    // Where there is nothing to await, it is not: this is the way of every step.
    const output = encoded instanceof Promise ? await encoded : encoded
    performed(attempts, name)
    succeed(attempts, step, begun, output)
  } catch (error) {
    performed(attempts, name)
    // What cannot be stored could not be the next time either.
    fail(attempts, step, begun, error, !isMadeBy(error, SerializationError))
  }
  suspension.leave()
}

/** How much time had elapsed when an attempt began, and the message that it consumes. */
interface Begun {
  readonly at: number
  readonly consumes: number | undefined
}

/** What the step's function comes to. */
function perform(attempts: State, step: Step): unknown {
  const { timeoutMs } = step.how
  return timeoutMs === null
    ? call(attempts, step, attempts.signal)
    : inTime(attempts, step, timeoutMs)
}

function performed({ executing }: State, name: string): void {
  executing.get(name)?.end()
  executing.delete(name)
}

/** Calls the step's function. */
function call(attempts: State, { past, fn }: Step, signal: AbortSignal): unknown {
  const { run, scope, codec, executing, owner, outbox, env, log } = attempts
  const { name, index, failures } = past
  const attempt = failures + 1
  const own = createChunks({ step: name, index, attempt, outbox, codec, env, signal })
  executing.set(name, own)
  const info: StepInfo = {
    attempt,
    idempotencyKey: `${run.id}:${name}`,
    log: log.ofStep(name),
    stream: own.open,
  }
  return scope === null
    ? fn(signal, info)
    : scope.run({ steps: owner, name }, () => fn(signal, info))
}

function succeed(attempts: State, step: Step, begun: Begun, output: Encoded): void {
  const { env, outbox, calls } = attempts
  const { name, index } = step.past
  outbox.add({
    kind: 'step:complete',
    name,
    at: env.now(),
    data: stepCompleteData(index, env.elapsed() - begun.at, output, 'run'),
    consumes: begun.consumes,
    onCommitted: () => calls.succeeded(step.call, output),
    onRejected: (error) => fail(attempts, step, begun, error, false),
  })
}

/** What the step's function returns, unless it takes too long. */
async function inTime(attempts: State, step: Step, timeoutMs: number): Promise<unknown> {
  const aborter = new AbortController()
  const late = Promise.withResolvers<never>()
  const cancel = after(attempts, timeoutMs, () => {
    const error = new TimeoutError(`Step "${step.call.name}" took longer than ${timeoutMs} ms`)
    late.reject(error)
    aborter.abort(error)
  })
  const signal = AbortSignal.any([attempts.signal, aborter.signal])
  const work = (async () => call(attempts, step, signal))()
  step.lingering = work
  try {
    return await Promise.race([work, late.promise])
  } finally {
    cancel()
  }
}

/** The step fails, or is tried again after a while: either is stored before anything comes of it. */
function fail(attempts: State, step: Step, begun: Begun, thrown: unknown, mayRetry: boolean): void {
  const { env, outbox, calls } = attempts
  if (calls.isOver()) return
  const { call, past } = step
  const { name, index } = past
  const duration = env.elapsed() - begun.at
  const delay = mayRetry ? delayAfter(attempts, step, thrown) : null
  noteFailure(past, delay !== null)
  const error = describeError(thrown, name)
  // What the database refuses is told instead of what happened; if it refuses that too, the code alone is told.
  const onRejected = (refusal: Error): void => {
    if (thrown instanceof RejectedWriteError) calls.failed(call, describeError(refusal, name))
    else fail(attempts, step, begun, refusal, false)
  }
  const item = { name, at: env.now(), consumes: begun.consumes, onRejected }
  if (delay === null) {
    const data = entryData('step:fail', { index, duration, error })
    const onCommitted = (): void => calls.failed(call, error)
    return outbox.add({ kind: 'step:fail', ...item, data, onCommitted })
  }
  const until = env.now() + delay
  const data = entryData('step:retry', { index, duration, error, until })
  const onCommitted = (): void => void again(attempts, step, until)
  outbox.add({ kind: 'step:retry', ...item, data, onCommitted })
}

function noteFailure(past: Past, isRetried: boolean): void {
  past.failures++
  past.tries = isRetried ? past.tries + 1 : 0
  past.retryAt = null
}

/** Milliseconds until the next attempt; null when there is none. */
function delayAfter(attempts: State, { past, how }: Step, thrown: unknown): number | null {
  const { env, run, onError } = attempts
  try {
    return how.nextDelay(past.tries + 1, thrown, env.random)
  } catch (error) {
    onError(error, `asking whether step "${past.name}" is tried again`, run)
    return null
  }
}

async function again(attempts: State, step: Step, until: number): Promise<void> {
  const { suspension } = attempts
  const { lingering, how } = step
  suspension.enter()
  if (lingering !== null && how.timeoutMs !== null) {
    const timers = { after: (ms: number, fn: () => void) => after(attempts, ms, fn) }
    await atMost(timers, how.timeoutMs, lingering)
  }
  backOff(attempts, step, until)
  suspension.leave()
}

function backOff(attempts: State, step: Step, until: number): void {
  const { env, suspension, waits } = attempts
  const { name, index } = step.past
  const left = until - env.now()
  if (left >= LONG_DELAY_MS) {
    const sources = [{ kind: 'retry', name, until }] as const
    const end: Parameters<Waits['open']>[0]['end'] = (_source, message) =>
      void attempt(attempts, step, message?.seq)
    return waits.open({ name, index, sources, end })
  }
  if (left <= 0) return void attempt(attempts, step)
  suspension.enter()
  after(attempts, left, () => {
    void attempt(attempts, step)
    suspension.leave()
  })
}
