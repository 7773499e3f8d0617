import { clip } from '../core/clip.ts'
import type { Codec } from '../core/codec.ts'
import type { Env, Scope } from '../core/env.ts'
import { type CancelledError, ValidationError } from '../core/error.ts'
import type { DurablyEvent, EventType } from '../core/event.ts'
import type { JobDefinition } from '../core/job.ts'
import { requirePeriod } from '../core/parse-duration.ts'
import { requireKnown, requireObject } from '../core/require-object.ts'
import { readRetry } from '../core/retry.ts'
import { toIso, type Progress, type RunRecord } from '../core/run.ts'
import type { StepContext, StepOptions } from '../core/step-context.ts'
import type { Store } from '../store/store.ts'
import {
  createAttempts,
  type Attempts,
  type How,
  type StepFunction,
  type StepScope,
  type Tick,
} from './attempts.ts'
import { createCalls, refuse, type Calls } from './calls.ts'
import type { Deliveries } from './deliveries.ts'
import type { Outbox } from './outbox.ts'
import type { Pasts } from './past.ts'
import { createPrimitives } from './primitives.ts'
import { createRunLog } from './run-log.ts'
import { createSuspension, type ParkedUntil } from './suspension.ts'
import { createWaits, type OpenWait } from './waits.ts'

/** Says what stands in no journal; `make` is called if someone listens. */
export type OnTick = (type: EventType, runId: string, make: () => DurablyEvent) => void

export interface StepsOptions {
  readonly run: RunRecord
  readonly job: JobDefinition
  readonly store: Store
  readonly pasts: Pasts
  readonly deliveries: Deliveries
  readonly outbox: Outbox
  readonly env: Env
  readonly codec: Codec
  readonly signal: AbortSignal
  readonly scope: Scope<StepScope> | null
  /** Steps are noted in the run before they execute: should the worker die once more, the run names its step. */
  readonly noteSteps: boolean
  /** Null while the lease holds. Else resolves when it is known whether the run is still this worker's. */
  readonly confirmLease: () => Promise<void> | null
  /** When the run has taken too long; null: never. */
  readonly deadline: number | null
  readonly onTick: OnTick
  readonly onParked: (until: ParkedUntil) => void
  readonly onAsked: () => void
  /** The database will never take that the run is parked. */
  readonly onUnparkable: (error: Error) => void
  readonly onError: (error: unknown, context: string, run: RunRecord) => void
}

/** The steps and waits of a run, as long as its code lives in this process. */
export interface Steps {
  readonly context: StepContext
  /** Every open and later call rejects. */
  cancel(error: CancelledError): void
  /** No call settles any more. */
  suspend(): void
  /** The step whose failure this very error is. */
  stepOf(error: unknown): string | undefined
  /** The job's code is over: resolves when the run is held, and every log line on its way. */
  finish(): Promise<void>
  /** No wait ends any more. Returns those that were open. */
  closeWaits(): readonly OpenWait[]
  isBusy(): boolean
  /** Nothing urgent is left to write. */
  quiet(): void
  /** The run was sent messages; its mailbox has come so far. */
  mail(inbox: number): void
  /** These runs have ended: there is a message for those that wait for one. */
  told(runIds: ReadonlySet<string>): void
  /** The run was parked, and is held again. */
  resume(run: RunRecord): void
}

export function createSteps(options: StepsOptions): Steps {
  const { run, job, store, pasts, deliveries, outbox, env, codec, signal, scope, onError } = options
  const calls = createCalls({ run, pasts, deliveries, codec, onHeld: () => suspension.called() })
  const waits = createWaits({
    run,
    store,
    env,
    onSettled: () => suspension.consider(),
    onError: (error) => onError(error, 'reading the mailbox', run),
  })
  const { deadline, onParked, onAsked, onUnparkable: onRejected } = options
  const wishes = { deadline, onParked, onAsked, onRejected }
  const suspension = createSuspension({ env, calls, waits, deliveries, outbox, ...wishes })
  const owner = {}
  const currentStep = (): string | null => stepNow(scope, owner, attempts.executing)
  const log = createRunLog({ outbox, codec, currentStep })
  const parts = { run, calls, outbox, waits, suspension, env, codec, onError }
  const tick: Tick = (type, stepName, stepIndex) =>
    options.onTick(type, run.id, () => ({ type, ...tickFields(options), stepName, stepIndex }))
  const { noteSteps, confirmLease } = options
  const how = { signal, scope, owner, noteSteps, confirmLease }
  const attempts = createAttempts({ ...parts, ...how, log, tick })
  // Without a scope nobody knows whose code it is.
  const stepInside = scope === null ? () => null : currentStep
  const primitives = createPrimitives({ ...parts, store, job, stepInside })
  const close = (): readonly OpenWait[] => {
    attempts.close()
    return waits.close()
  }
  const usual = readHow(job, `job "${run.jobName}"`, null)
  return {
    context: {
      runId: run.id,
      attempt: run.attempt,
      abortSignal: signal,
      run: createRun(calls, attempts.perform, usual),
      ...primitives,
      stream: <T>(name: string) => streamOf<T>(attempts, currentStep(), name),
      log: log.ofCurrentStep,
      progress(...args) {
        const progress = readProgress(...args)
        // The run may be another execution's by now, which has its own.
        if (calls.isOver() || !outbox.progress(progress)) return
        const type = 'run:progress'
        options.onTick(type, run.id, () => ({ type, ...tickFields(options), progress }))
      },
    },
    cancel(error) {
      close()
      calls.cancel(error)
    },
    suspend() {
      close()
      calls.suspend()
    },
    stepOf: (error) => calls.failureOf(error)?.step,
    async finish() {
      await suspension.finish()
      await log.stored()
    },
    closeWaits: close,
    isBusy: () => attempts.executing.size > 0,
    quiet: suspension.consider,
    mail: waits.mail,
    told: waits.told,
    resume: ({ inbox }) => suspension.resume(inbox),
  }
}

/** The step inside of whose function the code is that asks. */
function stepNow(
  scope: Scope<StepScope> | null,
  owner: object,
  executing: ReadonlyMap<string, unknown>,
): string | null {
  if (scope === null) return executing.size === 1 ? ([...executing.keys()][0] ?? null) : null
  const current = scope.get()
  return current?.steps === owner ? current.name : null
}

function streamOf<T>(
  { executing }: Attempts,
  step: string | null,
  name: string,
): WritableStream<T> {
  const chunks = step === null ? undefined : executing.get(step)
  if (chunks !== undefined) return chunks.open<T>(name)
  const where =
    executing.size === 0
      ? 'it is written by the function of a step'
      : 'which step writes it cannot be told here: use the stream of the second argument of its function'
  throw new ValidationError(`stream "${name}" has no step: ${where}`)
}

function createRun(calls: Calls, perform: Attempts['perform'], usual: How): StepContext['run'] {
  return <T>(name: string, fn: StepFunction, options?: StepOptions): Promise<T> => {
    let how = usual
    try {
      if (typeof fn !== 'function') {
        throw new ValidationError(`step "${name}" needs a function to run; got ${typeof fn}`)
      }
      if (options !== undefined) how = readOwn(options, `step "${name}"`, usual)
    } catch (error) {
      return refuse(error)
    }
    return calls.make(name, 'run', (call, past) => perform(call, past, fn, how), null) as Promise<T>
  }
}

/** How the steps are executed of whoever says it; else as usual. Throws `ValidationError` that names what is wrong. */
function readOwn(options: StepOptions, what: string, usual: How | null): How {
  const how = readHow(options, what, usual)
  requireKnown(options, { retry: true, timeout: true }, `${what}: `)
  return how
}

function readHow(options: StepOptions, what: string, usual: How | null): How {
  requireObject(options, `options of ${what}`)
  const { retry, timeout } = options
  return {
    nextDelay:
      retry === undefined && usual !== null
        ? usual.nextDelay
        : readRetry(retry, `retry of ${what}`),
    timeoutMs:
      timeout === undefined
        ? (usual?.timeoutMs ?? null)
        : requirePeriod(timeout, `timeout of ${what}`),
  }
}

function tickFields({ run, env, outbox }: StepsOptions) {
  return {
    timestamp: toIso(env.now()),
    sequence: outbox.lastSeq(),
    runId: run.id,
    jobName: run.jobName,
    labels: run.labels,
  }
}

function readProgress(current: unknown, total?: unknown, message?: unknown): Progress {
  if (typeof current !== 'number' || !Number.isFinite(current)) {
    throw new ValidationError(`progress needs a finite number as current`)
  }
  if (total !== undefined && (typeof total !== 'number' || !Number.isFinite(total))) {
    throw new ValidationError(`progress needs a finite number as total`)
  }
  if (message !== undefined && typeof message !== 'string') {
    throw new ValidationError(`progress needs a string as message`)
  }
  return {
    current,
    ...(total === undefined ? {} : { total }),
    ...(message === undefined ? {} : { message: clip(message) }),
  }
}
