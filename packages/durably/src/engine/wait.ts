import { encode, type Codec, type Encoded } from '../core/codec.ts'
import { pause, type Env } from '../core/env.ts'
import { describeError } from '../core/describe-error.ts'
import { NotFoundError } from '../core/error.ts'
import { entryData, stepCompleteData, type StepKind } from '../core/journal.ts'
import type { RunRecord } from '../core/run.ts'
import type { Message, NewToken, Store } from '../store/store.ts'
import { createBackoff } from './backoff.ts'
import type { Call, Calls } from './calls.ts'
import type { Outbox } from './outbox.ts'
import type { OpenedWait, Past } from './past.ts'
import type { Suspension } from './suspension.ts'
import { toWait, type OpenWait, type Source, type Waits } from './waits.ts'

export interface WaitOptions {
  readonly run: RunRecord
  readonly store: Pick<Store, 'watch'>
  readonly calls: Calls
  readonly outbox: Outbox
  readonly waits: Waits
  readonly suspension: Suspension
  readonly env: Env
  readonly codec: Codec
  readonly onError: (error: unknown, context: string, run: RunRecord) => void
}

/** A source of a wait, before the wait has begun. */
export interface Plan {
  readonly kind: Source['kind']
  readonly name: string
  /** When it ends by itself, of a wait that began at this time. */
  readonly until: (begunAt: number) => number | null
  /** What the message is worth, or that none came in time. */
  readonly valueOf: (message: Message | null) => unknown
}

/** What a source is called that a wait has alone. */
export const ONLY = ''

/** The one wait: its deadlines are fixed when it begins, and what ends it is recorded with its value. */
export function wait(
  state: WaitOptions,
  by: Exclude<StepKind, 'run' | 'token'>,
  name: string,
  plans: Readonly<Record<string, Plan>>,
  shape: (key: string, value: unknown) => unknown,
): Promise<unknown> {
  return state.calls.make(name, by, (call, past) => begin(state, call, past, plans, shape), null)
}

function begin(
  state: WaitOptions,
  call: Call,
  { name, index, wait: opened }: Past,
  plans: Readonly<Record<string, Plan>>,
  shape: (key: string, value: unknown) => unknown,
): void {
  const { env, outbox, waits, codec } = state
  const entries = Object.entries(plans)
  const at = opened?.at ?? env.now()
  const sources = entries.map(([, plan], i) => toSource(plan, i, opened, at))
  if (opened === null) {
    const data = entryData('step:wait', { index, waits: sources.map(toWait) })
    outbox.add({ kind: 'step:wait', name, at, data })
  }
  const begun = { call, index, at, branch: ONLY }
  const end: OpenWait['end'] = (i, message, first) => {
    const [key = ONLY, plan] = entries[i] ?? []
    const resultOf = async (): Promise<Result> => {
      const value = shape(key, await plan?.valueOf(message))
      return { output: await encode(value, codec, `value of "${name}"`) }
    }
    void record(state, { ...begun, branch: key }, resultOf, first ? message : null)
  }
  const watched = entries.flatMap(([, plan]) => (plan.kind === 'run' ? plan.name : []))
  if (watched.length === 0) return waits.open({ name, index, sources, end })
  void watch(state, begun, watched, (since) => {
    const asked = sources.map((source) => {
      const position = source.kind === 'run' ? since.get(source.name) : undefined
      return position === undefined ? source : { ...source, since: position }
    })
    waits.open({ name, index, sources: asked, end })
  })
}

/** Deadlines that the journal has stay, whatever the code says by now. */
function toSource(
  { kind, name, until }: Plan,
  i: number,
  opened: OpenedWait | null,
  at: number,
): Source {
  const recorded = opened?.waits[i]
  const isSame = recorded?.kind === kind && recorded.name === name
  if (!isSame) return { kind, name, until: until(at) }
  return { kind, name, until: recorded.until === null ? null : Date.parse(recorded.until) }
}

/** What a call comes to: its value, and the token that it hands out with it. */
export interface Result {
  readonly output: Encoded
  readonly token?: NewToken
}

/** A call that is to have an outcome, from when on. */
interface Begun {
  readonly call: Call
  readonly index: number
  readonly at: number
  /** Which of several things has ended it. */
  readonly branch: string
}

/** Records what a call comes to, in one commit with taking the message that ended it out of the mailbox. */
export async function record(
  { env, outbox, calls, suspension }: WaitOptions,
  { call, index, at, branch }: Begun,
  resultOf: () => Promise<Result>,
  message: Message | null,
): Promise<void> {
  const { name } = call
  const duration = Math.max(0, env.now() - at)
  const consumes = message === null ? null : { consumes: message.seq }
  const failed = (thrown: unknown): void => {
    const error = { ...describeError(thrown, name), ...(branch === ONLY ? {} : { branch }) }
    const data = entryData('step:fail', { index, duration, error })
    const onCommitted = (): void => calls.failed(call, error)
    // If the database refuses that too, the code alone is told.
    const onRejected = (refusal: Error): void => calls.failed(call, describeError(refusal, name))
    const item = { kind: 'step:fail', name, at: env.now(), data, ...consumes } as const
    outbox.add({ ...item, onCommitted, onRejected })
  }
  suspension.enter()
  try {
    const { output, token } = await resultOf()
    const data = stepCompleteData(index, duration, output, call.by)
    const onCommitted = (): void => calls.succeeded(call, output)
    const handsOut = token === undefined ? null : { token }
    const item = { kind: 'step:complete', name, at: env.now(), data, ...consumes } as const
    outbox.add({ ...item, ...handsOut, onCommitted, onRejected: failed })
  } catch (error) {
    failed(error)
  }
  suspension.leave()
}

/**
 * Has the ends of other runs told to this one, then opens the wait: with how far the mailbox had come before. A database
 * that does not answer is asked until it does.
 */
async function watch(
  state: WaitOptions,
  begun: Begun,
  targets: readonly string[],
  open: (since: ReadonlyMap<string, number>) => void,
): Promise<void> {
  const { calls, waits, suspension } = state
  suspension.enter()
  const release = waits.begin(targets)
  const since = await ask(state, targets)
  if (typeof since === 'string') {
    const missing = new NotFoundError(`Run not found: ${since}`)
    await record(state, begun, () => Promise.reject(missing), null)
  } else if (!calls.isOver()) {
    // What is known of the mailbox may be older than the answers.
    waits.check()
    open(since)
  }
  release()
  suspension.leave()
}

/** How far the mailbox had come when each was asked for; or the first of which there is none. */
async function ask(
  { store, run, env, calls, onError }: WaitOptions,
  targets: readonly string[],
): Promise<ReadonlyMap<string, number> | string> {
  const backoff = createBackoff(env)
  const since = new Map<string, number>()
  for (const target of targets) {
    while (!since.has(target) && !calls.isOver()) {
      try {
        const position = await store.watch(run.id, target, env.now())
        if (position === null) return target
        since.set(target, position)
      } catch (error) {
        onError(error, 'watching another run', run)
        await pause(env, backoff.next())
      }
    }
  }
  return since
}
