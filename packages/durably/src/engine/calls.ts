import { decode, decodeParsed, type Codec, type Encoded } from '../core/codec.ts'
import {
  type CancelledError,
  describeError,
  DuplicateStepError,
  restoreError,
  type ErrorDetail,
} from '../core/error.ts'
import { requireText } from '../core/require-text.ts'
import type { RunRecord } from '../core/run.ts'
import { unreadable } from '../core/unreadable.ts'
import type { Deliveries } from './deliveries.ts'
import type { History, Outcome } from './history.ts'

/** A step or a wait that the job's code has called, and waits for. */
export interface Call {
  readonly name: string
  readonly promise: Promise<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** Begins what has no outcome in the journal. `index`: its place in the order of first calls. */
  readonly start: (call: Call, index: number) => void
  /** What the job gets of the stored value, where it is not the value itself. */
  readonly read: ((value: unknown) => unknown) | null
  settled: boolean
}

/**
 * The calls that a job's code makes: each has a name of its own, has the outcome that the journal has or begins,
 * and settles in the order of the journal; never once the run is another's.
 */
export interface Calls {
  make(name: string, start: Call['start'], read: Call['read']): Promise<unknown>
  /** Its outcome is stored. */
  succeeded(call: Call, output: Encoded): void
  failed(call: Call, error: ErrorDetail): void
  /** The step whose failure this very error is. */
  stepOf(error: unknown): string | undefined
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

export interface CallsOptions {
  readonly run: Pick<RunRecord, 'id'>
  readonly history: History
  readonly deliveries: Deliveries
  readonly codec: Codec
  readonly onHeld: () => void
}

interface State extends CallsOptions {
  readonly open: Set<Call>
  /** Names that are open or completed in this execution. */
  readonly used: Set<string>
  readonly failedIn: WeakMap<object, string>
  held: Call[] | null
  cancelled: CancelledError | null
  suspended: boolean
}

export function createCalls(options: CallsOptions): Calls {
  const calls: State = {
    ...options,
    open: new Set(),
    used: new Set(),
    failedIn: new WeakMap(),
    held: null,
    cancelled: null,
    suspended: false,
  }
  const { deliveries, codec } = options
  return {
    make(name, start, read) {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      begin(calls, { name, promise, resolve, reject, start, read, settled: false })
      return promise
    },
    succeeded: (call, output) =>
      deliveries.push(() => complete(calls, call, decode(output, codec))),
    failed: (call, error) => deliveries.push(() => fail(calls, call, error)),
    stepOf: (error) =>
      typeof error === 'object' && error !== null ? calls.failedIn.get(error) : undefined,
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
    checkName(calls, call.name)
  } catch (error) {
    return reject(call, error)
  }
  const { name } = call
  const { history, deliveries } = calls
  calls.used.add(name)
  const recorded = history.take(name)
  if (recorded === null) call.start(call, history.indexOf(name))
  else deliveries.ask(recorded.position, () => replay(calls, call, recorded.outcome))
  if (!call.settled) calls.open.add(call)
}

function checkName({ used, run, history }: State, name: string): void {
  if (!history.knows(name)) requireText(name, 'step name')
  if (!used.has(name)) return
  throw new DuplicateStepError(
    `Step "${name}" was already called in run ${run.id}: names tell steps apart, so give each its own, such as \`${name} \${i}\` in a loop`,
  )
}

function replay(calls: State, call: Call, outcome: Outcome): void {
  if (!outcome.ok) return fail(calls, call, outcome.error)
  const { output, format } = outcome.data
  try {
    complete(calls, call, decodeParsed(output, format ?? 'json', calls.codec))
  } catch (cause) {
    const error = unreadable(`the output of step "${call.name}" of run ${calls.run.id}`, cause)
    fail(calls, call, describeError(error, call.name))
  }
}

function complete(calls: State, call: Call, value: unknown): void {
  if (closes(calls, call)) call.resolve(call.read === null ? value : call.read(value))
}

function fail(calls: State, call: Call, detail: ErrorDetail): void {
  if (!closes(calls, call)) return
  calls.used.delete(call.name)
  const error = restoreError(detail)
  calls.failedIn.set(error, call.name)
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
  open.delete(call)
  return true
}

function cancel(calls: State, error: CancelledError): void {
  calls.cancelled = error
  for (const call of [...calls.open, ...(calls.held ?? [])]) {
    call.settled = true
    reject(call, error)
  }
  calls.open.clear()
  calls.held = null
}
