import { decode, decodeParsed, type Codec, type Encoded } from '../core/codec.ts'
import { describeError } from '../core/describe-error.ts'
import {
  type CancelledError,
  ConflictError,
  DuplicateStepError,
  restoreError,
  type ErrorDetail,
} from '../core/error.ts'
import type { StepKind } from '../core/journal.ts'
import { requireText } from '../core/require-text.ts'
import type { RunRecord } from '../core/run.ts'
import { unreadable } from '../core/unreadable.ts'
import type { Deliveries } from './deliveries.ts'
import type { Past, Pasts, Recorded } from './past.ts'

/** A step or a wait that the job's code has called, and waits for. */
export interface Call {
  readonly name: string
  readonly by: StepKind
  readonly promise: Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** Begins what has no outcome in the journal. */
  readonly start: (call: Call, past: Past) => void
  /** What the job gets of the stored value, where it is not the value itself. */
  readonly read: ((value: unknown) => unknown) | null
  /** Null before it has begun. */
  past: Past | null
  settled: boolean
}

/**
 * The calls that a job's code makes: each has a name of its own, has the outcome that the journal has or begins,
 * and settles in the order of the journal; never once the run is another's.
 */
export interface Calls {
  make(name: string, by: StepKind, start: Call['start'], read: Call['read']): Promise<unknown>
  /** Its outcome is stored. */
  succeeded(call: Call, output: Encoded): void
  failed(call: Call, error: ErrorDetail): void
  /** The step or wait whose failure this very error is. */
  failureOf(error: unknown): Failure | undefined
  /** Calls are kept until `release`; `onHeld` says that there is one. */
  hold(): void
  release(): void
  hasHeld(): boolean
  /** Every open and later call rejects. */
  cancel(error: CancelledError): void
  /** No call settles any more. */
  suspend(): void
  /** Nothing that is begun now would come to anything. */
  isOver(): boolean
}

interface Failure {
  /** The name of the call. */
  readonly step: string
  /** Of a wait for several things: the one whose end could not be taken. */
  readonly branch: string | undefined
}

export interface CallsOptions {
  readonly run: Pick<RunRecord, 'id'>
  readonly pasts: Pasts
  readonly deliveries: Deliveries
  readonly codec: Codec
  readonly onHeld: () => void
}

const SWEEP_MIN = 16

interface State extends CallsOptions {
  /** In the order in which they were made, settled ones among them until they are swept out. */
  open: Call[]
  readonly failures: WeakMap<object, Failure>
  /** So many of them are too many to keep the settled ones. */
  sweepAt: number
  held: Call[] | null
  cancelled: CancelledError | null
  suspended: boolean
}

export function createCalls(options: CallsOptions): Calls {
  const calls: State = {
    ...options,
    open: [],
    sweepAt: SWEEP_MIN,
    failures: new WeakMap(),
    held: null,
    cancelled: null,
    suspended: false,
  }
  const { deliveries, codec } = options
  return {
    make(name, by, start, read) {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      begin(calls, { name, by, promise, resolve, reject, start, read, past: null, settled: false })
      return promise
    },
    succeeded: (call, output) =>
      deliveries.push(() => completeWith(calls, call, () => decode(output, codec))),
    failed: (call, error) => deliveries.push(() => fail(calls, call, error)),
    failureOf: (error) =>
      typeof error === 'object' && error !== null ? calls.failures.get(error) : undefined,
    hold() {
      calls.held = []
    },
    release() {
      const { held } = calls
      calls.held = null
      for (const call of held ?? []) begin(calls, call)
    },
    hasHeld: () => calls.held !== null && calls.held.length > 0,
    cancel: (error) => cancel(calls, error),
    suspend() {
      calls.suspended = true
    },
    isOver: () => calls.suspended || calls.cancelled !== null,
  }
}

function begin(calls: State, call: Call): void {
  if (calls.suspended) return
  if (calls.cancelled !== null) return reject(call, calls.cancelled)
  if (calls.held !== null) {
    calls.held.push(call)
    return calls.onHeld()
  }
  try {
    call.past = use(calls, call.name)
  } catch (error) {
    return reject(call, error)
  }
  const { past } = call
  const recorded = past.next
  if (recorded === null) call.start(call, past)
  else {
    past.next = recorded.next
    calls.deliveries.ask(recorded.position, () => replay(calls, call, recorded))
  }
  if (!call.settled) noteOpen(calls, call)
}

/** A list costs a replay less than a set does; half of it is settled when it is swept, so that each call pays twice. */
function noteOpen(calls: State, call: Call): void {
  if (calls.open.push(call) < calls.sweepAt) return
  calls.open = calls.open.filter(({ settled }) => !settled)
  calls.sweepAt = Math.max(SWEEP_MIN, 2 * calls.open.length)
}

function use({ pasts, run }: State, name: string): Past {
  const past = pasts.find(name) ?? pasts.begin(checked(name))
  if (past.isUsed) {
    throw new DuplicateStepError(
      `Step "${name}" was already called in run ${run.id}: names tell steps apart, so give each its own, such as \`${name} \${i}\` in a loop`,
    )
  }
  past.isUsed = true
  return past
}

/** Names that the journal has were good ones. */
function checked(name: string): string {
  requireText(name, 'step name')
  return name
}

function replay(calls: State, call: Call, { data, error }: Recorded): void {
  if (error !== null) return fail(calls, call, error)
  const { output, format = 'json', by = 'run' } = data ?? {}
  if (by !== call.by) return fail(calls, call, describeError(madeOtherwise(call, by), call.name))
  completeWith(calls, call, () => decodeParsed(output, format, calls.codec))
}

/** The code has changed: what a step once came to must not pass for an answer that was never given. */
function madeOtherwise({ name, by }: Call, recorded: StepKind): ConflictError {
  return new ConflictError(
    `"${name}" is recorded as what step.${recorded} came to, and now called by step.${by}: give what is new in the code a name of its own`,
  )
}

/** A value that cannot be read fails its call. */
function completeWith(calls: State, call: Call, read: () => unknown): void {
  try {
    complete(calls, call, read())
  } catch (cause) {
    const what = `the output of step "${call.name}" of run ${calls.run.id}`
    fail(calls, call, describeError(unreadable(what, cause), call.name))
  }
}

function complete(calls: State, call: Call, value: unknown): void {
  if (closes(calls, call)) call.resolve(call.read === null ? value : call.read(value))
}

function fail(calls: State, call: Call, detail: ErrorDetail): void {
  if (!closes(calls, call)) return
  if (call.past !== null) call.past.isUsed = false
  const error = restoreError(detail)
  calls.failures.set(error, { step: call.name, branch: detail.branch })
  reject(call, error)
}

function reject({ promise, reject }: Call, error: unknown): void {
  // A call that nobody awaits must not end the process when it is rejected.
  promise.catch(() => {})
  reject(error)
}

/** A call that was wrong from the beginning. */
export function refuse(error: unknown): Promise<never> {
  const refused = Promise.reject(error)
  refused.catch(() => {})
  return refused
}

/** Whether the call may settle still: not twice, and not once the run is another's. */
function closes({ suspended, open }: State, call: Call): boolean {
  if (suspended || call.settled) return false
  call.settled = true
  // Of code that makes one call after the other, none is kept.
  if (open.at(-1) === call) open.pop()
  return true
}

function cancel(calls: State, error: CancelledError): void {
  calls.cancelled = error
  for (const call of [...calls.open, ...(calls.held ?? [])]) {
    if (!call.settled) reject(call, error)
    call.settled = true
  }
  calls.open = []
  calls.held = null
}
