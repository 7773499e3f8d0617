import { decode, decodeParsed, encode, type Codec, type Encoded } from '../core/codec.ts'
import type { Env, Scope } from '../core/env.ts'
import {
  type CancelledError,
  describeError,
  DuplicateStepError,
  restoreError,
  ValidationError,
  type ErrorDetail,
} from '../core/error.ts'
import type { DurablyEvent, EventType } from '../core/event.ts'
import { requireText, type StepContext, type StepInfo } from '../core/job.ts'
import { entryData, stepCompleteData } from '../core/journal.ts'
import { toIso, type RunRecord } from '../core/run.ts'
import { unreadable } from '../core/unreadable.ts'
import type { History, Outcome } from './history.ts'
import { createRunLog, type RunLog } from './run-log.ts'
import type { Deliveries } from './deliveries.ts'
import type { Outbox } from './outbox.ts'

/** Which step the code that runs right now belongs to. */
export interface StepScope {
  readonly steps: object
  readonly name: string
}

/** Says what stands in no journal; `make` is called if someone listens. */
export type OnTick = (type: EventType, runId: string, make: () => DurablyEvent) => void

export interface StepsOptions {
  readonly run: RunRecord
  readonly history: History
  readonly deliveries: Deliveries
  readonly outbox: Outbox
  readonly env: Env
  readonly codec: Codec
  readonly signal: AbortSignal
  readonly scope: Scope<StepScope> | null
  /** Steps are noted in the run before they execute: should the worker die once more, the run names its step. */
  readonly noteSteps: boolean
  readonly onTick: OnTick
}

/** The steps of one execution of a run. */
export interface Steps {
  readonly context: StepContext
  /** Every open and later call rejects. */
  cancel(error: CancelledError): void
  /** No call settles any more. */
  suspend(): void
  /** The step whose failure this very error is. */
  stepOf(error: unknown): string | undefined
  /** Resolves when every log line is on its way. */
  logged(): Promise<void>
  isBusy(): boolean
}

interface Call {
  readonly name: string
  readonly fn: (signal: AbortSignal, info: StepInfo) => unknown
  readonly promise: Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  settled: boolean
}

interface State extends StepsOptions {
  readonly log: RunLog
  readonly open: Set<Call>
  /** Names that are executing or completed in this execution. */
  readonly used: Set<string>
  readonly executing: Set<string>
  readonly failedIn: WeakMap<object, string>
  cancelled: CancelledError | null
  suspended: boolean
}

export function createSteps(options: StepsOptions): Steps {
  const { run, signal, outbox, scope } = options
  const executing = new Set<string>()
  const log = createRunLog({ ...options, currentStep: () => currentStep(steps) })
  const steps: State = {
    ...options,
    log,
    open: new Set(),
    used: new Set(),
    executing,
    failedIn: new WeakMap(),
    cancelled: null,
    suspended: false,
  }
  function currentStep(owner: object): string | null {
    if (scope === null) return executing.size === 1 ? ([...executing][0] ?? null) : null
    const current = scope.get()
    return current?.steps === owner ? current.name : null
  }
  return {
    context: {
      runId: run.id,
      attempt: run.attempt,
      abortSignal: signal,
      run: (name, fn) => call(steps, name, fn),
      log: log.ofCurrentStep,
      progress(current, total, message) {
        const progress = readProgress(current, total, message)
        outbox.progress(progress)
        const type = 'run:progress'
        steps.onTick(type, run.id, () => ({ type, ...tickFields(steps), progress }))
      },
    },
    cancel: (error) => cancel(steps, error),
    suspend() {
      steps.suspended = true
    },
    stepOf: (error) =>
      typeof error === 'object' && error !== null ? steps.failedIn.get(error) : undefined,
    logged: log.stored,
    isBusy: () => executing.size > 0,
  }
}

function call<T>(
  steps: State,
  name: string,
  fn: (signal: AbortSignal, info: StepInfo) => T | Promise<T>,
): Promise<T> {
  const settlers = Promise.withResolvers<unknown>()
  begin(steps, { name, fn, ...settlers, settled: false })
  return settlers.promise as Promise<T>
}

function begin(steps: State, call: Call): void {
  if (steps.suspended) return
  if (steps.cancelled !== null) return reject(call, steps.cancelled)
  try {
    checkCall(steps, call)
  } catch (error) {
    return reject(call, error)
  }
  const { name } = call
  const { history, deliveries } = steps
  steps.used.add(name)
  const recorded = history.take(name)
  if (recorded === null) void perform(steps, call, history.indexOf(name))
  else deliveries.ask(recorded.position, () => replay(steps, call, recorded.outcome))
  if (!call.settled) steps.open.add(call)
}

function reject({ promise, reject }: Call, error: unknown): void {
  // A call that nobody awaits must not end the process when it is rejected.
  promise.catch(() => {})
  reject(error)
}

function checkCall({ used, run, history }: State, { name, fn }: Call): void {
  if (!history.knows(name)) requireText(name, 'step name')
  if (typeof fn !== 'function') {
    throw new ValidationError(`step "${name}" needs a function to run; got ${typeof fn}`)
  }
  if (!used.has(name)) return
  throw new DuplicateStepError(
    `Step "${name}" was already called in run ${run.id}: names tell steps apart, so give each its own, such as \`${name} \${i}\` in a loop`,
  )
}

function replay(steps: State, call: Call, outcome: Outcome): void {
  if (!outcome.ok) return fail(steps, call, outcome.error)
  const { output, format } = outcome.data
  try {
    complete(steps, call, decodeParsed(output, format ?? 'json', steps.codec))
  } catch (cause) {
    const error = unreadable(`the output of step "${call.name}" of run ${steps.run.id}`, cause)
    fail(steps, call, describeError(error, call.name))
  }
}

async function perform(steps: State, call: Call, index: number): Promise<void> {
  const { env, outbox, history } = steps
  const { name } = call
  if (steps.noteSteps) await outbox.note(name)
  if (steps.suspended || steps.cancelled !== null) return
  const type = 'step:start'
  const place = { stepName: name, stepIndex: index }
  steps.onTick(type, steps.run.id, () => ({ type, ...tickFields(steps), ...place }))
  const startedAt = env.now()
  const failed = (thrown: unknown): void => {
    history.failed(name)
    const error = describeError(thrown, name)
    const data = entryData('step:fail', { index, duration: env.now() - startedAt, error })
    const onCommitted = deliver(() => fail(steps, call, error))
    outbox.add({ kind: 'step:fail', name, at: env.now(), data, onCommitted })
  }
  const deliver = (outcome: () => void) => () => steps.deliveries.push(outcome)
  try {
    const output = await execute(steps, call)
    const data = stepCompleteData(index, env.now() - startedAt, output)
    const onCommitted = deliver(() => complete(steps, call, decode(output, steps.codec)))
    const onRejected = failed
    outbox.add({ kind: 'step:complete', name, at: env.now(), data, onCommitted, onRejected })
  } catch (error) {
    failed(error)
  }
}

/** Runs the step's function and encodes what it returns. */
async function execute(steps: State, { name, fn }: Call): Promise<Encoded> {
  const { run, signal, scope, codec, executing } = steps
  const info: StepInfo = {
    attempt: steps.history.failures(name) + 1,
    idempotencyKey: `${run.id}:${name}`,
    log: steps.log.ofStep(name),
  }
  executing.add(name)
  try {
    const work = () => fn(signal, info)
    const value = await (scope === null ? work() : scope.run({ steps, name }, work))
    return await encode(value, codec, `output of step "${name}"`)
  } finally {
    executing.delete(name)
  }
}

function complete(steps: State, call: Call, value: unknown): void {
  if (closes(steps, call)) call.resolve(value)
}

function fail(steps: State, call: Call, detail: ErrorDetail): void {
  if (!closes(steps, call)) return
  steps.used.delete(call.name)
  const error = restoreError(detail)
  steps.failedIn.set(error, call.name)
  reject(call, error)
}

/** Whether the call may settle still: not twice, and not once the run is another's. */
function closes({ suspended, open }: State, call: Call): boolean {
  if (suspended || call.settled) return false
  call.settled = true
  open.delete(call)
  return true
}

function cancel(steps: State, error: CancelledError): void {
  steps.cancelled = error
  for (const call of steps.open) {
    call.settled = true
    reject(call, error)
  }
  steps.open.clear()
}

function tickFields({ run, env, outbox }: State) {
  return {
    timestamp: toIso(env.now()),
    sequence: outbox.lastSeq(),
    runId: run.id,
    jobName: run.jobName,
    labels: run.labels,
  }
}

function readProgress(current: unknown, total: unknown, message: unknown) {
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
    ...(message === undefined ? {} : { message }),
  }
}
