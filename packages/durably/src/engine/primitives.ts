import type { StandardSchemaV1 } from '@standard-schema/spec'
import { decode, encode, type Codec, type Encoded } from '../core/codec.ts'
import { parseDuration, type Duration } from '../core/duration.ts'
import { pause, type Env } from '../core/env.ts'
import { describeError, NotFoundError, ValidationError } from '../core/error.ts'
import { parseWith, requireSchema, type JobDefinition } from '../core/job.ts'
import { entryData, stepCompleteData } from '../core/journal.ts'
import { requireDate } from '../core/require-date.ts'
import { requireObject } from '../core/require-object.ts'
import type { RunRecord } from '../core/run.ts'
import { show } from '../core/show.ts'
import type { SignalOptions, StepContext, TokenOptions } from '../core/step-context.ts'
import type { Branch, Branches, BranchOf, RunEnd } from '../core/wait.ts'
import type { Ending, Message, Store } from '../store/store.ts'
import { createBackoff } from './backoff.ts'
import type { Call, Calls } from './calls.ts'
import type { History, OpenedWait } from './history.ts'
import type { Outbox } from './outbox.ts'
import type { Suspension } from './suspension.ts'
import { toWait, type OpenWait, type Source, type Waits } from './waits.ts'

export interface PrimitivesOptions {
  readonly run: RunRecord
  readonly job: Pick<JobDefinition, 'signals'>
  readonly store: Pick<Store, 'watch'>
  readonly calls: Calls
  readonly history: History
  readonly outbox: Outbox
  readonly waits: Waits
  readonly suspension: Suspension
  readonly env: Env
  readonly codec: Codec
  readonly onError: (error: unknown, context: string, run: RunRecord) => void
}

interface State extends PrimitivesOptions {
  /** Made by this run, by their texts. */
  readonly tokens: Map<string, KnownToken>
}

interface KnownToken extends StoredToken {
  /** Of the step that made it. */
  readonly name: string
  readonly schema: StandardSchemaV1 | null
}

/** The result of the step that made a token. */
interface StoredToken {
  readonly token: string
  readonly expiresAt: number | null
}

/** A source of a wait, before the wait has begun. */
interface Plan {
  readonly kind: Source['kind']
  readonly name: string
  /** When it ends by itself, of a wait that began at this time. */
  readonly until: (begunAt: number) => number | null
  /** What the message is worth, or that none came in time. */
  readonly valueOf: (message: Message | null) => unknown
}

type Primitive = 'sleep' | 'sleepUntil' | 'waitForSignal' | 'token' | 'waitForToken' | 'waitAny'

const never = (): null => null

/** What a job waits with. All are one wait: for the first of some sources. */
export function createPrimitives(options: PrimitivesOptions): Pick<StepContext, Primitive> {
  const state: State = { ...options, tokens: new Map() }
  const one = (name: string, plan: Plan) => wait(state, name, { only: plan }, (_, value) => value)
  const primitives: Record<Primitive, (name: string, ...args: never[]) => Promise<unknown>> = {
    sleep: (name, duration: Duration) =>
      one(name, sleepFor(name, parseDuration(duration, `duration of sleep "${name}"`))),
    sleepUntil: (name, date: Date) =>
      one(name, sleepUntil(name, requireDate(date, `date of sleep "${name}"`))),
    waitForSignal: (name, signalOptions?: SignalOptions<unknown>) =>
      one(name, signalPlan(state, name, signalOptions)),
    token: (name, tokenOptions?: TokenOptions<unknown>) => makeToken(state, name, tokenOptions),
    waitForToken: (name, token: string) => one(name, tokenPlan(state, token)),
    waitAny: (name, branches: Branches) =>
      wait(state, name, plansOf(state, name, branches), (key, value) => ({ key, value })),
  }
  return primitives as unknown as Pick<StepContext, Primitive>
}

function sleepFor(name: string, ms: number): Plan {
  return { kind: 'sleep', name, until: (begunAt) => begunAt + ms, valueOf: never }
}

function sleepUntil(name: string, time: number): Plan {
  return { kind: 'sleep', name, until: () => time, valueOf: never }
}

function signalPlan(state: State, name: string, options: SignalOptions<unknown> = {}): Plan {
  requireObject(options, 'options')
  const { timeout, schema = null } = options
  requireDeclared(state, name)
  if (schema !== null) requireSchema(schema, `schema of signal "${name}"`)
  const ms = timeout === undefined ? null : parseDuration(timeout, `timeout of signal "${name}"`)
  const until = ms === null ? never : (begunAt: number) => begunAt + ms
  return { kind: 'signal', name, until, valueOf: dataOfMessage(state, schema, `signal "${name}"`) }
}

/** A name that is not declared would wait for ever: nobody can send such a signal. */
function requireDeclared({ job }: State, name: string): void {
  const { signals } = job
  if (signals === undefined || Object.hasOwn(signals, name)) return
  throw new ValidationError(
    `Signal ${show(name)} is not among the signals that the job declares: ${Object.keys(signals).join(', ')}`,
  )
}

function tokenPlan(state: State, text: unknown): Plan {
  const token = typeof text === 'string' ? state.tokens.get(text) : undefined
  if (token === undefined) {
    throw new ValidationError(
      'A run can wait for tokens of its own only: pass what step.token returned in this run',
    )
  }
  const { name, expiresAt, schema } = token
  return {
    kind: 'token',
    name,
    until: () => expiresAt,
    valueOf: dataOfMessage(state, schema, `value of token "${name}"`),
  }
}

/** Reads what was sent; null when nothing was. */
function dataOfMessage(
  { codec }: State,
  schema: StandardSchemaV1 | null,
  what: string,
): Plan['valueOf'] {
  return (message) => {
    if (message === null) return null
    const data = message.data === null ? undefined : decode(message.data, codec)
    return schema === null ? data : parseWith(schema, data, `Invalid ${what}`)
  }
}

function runPlan({ codec }: State, runId: string): Plan {
  return {
    kind: 'run',
    name: runId,
    until: never,
    valueOf(message): RunEnd {
      const { status, output, error } = JSON.parse(message?.data?.text ?? '') as Ending
      const value = output === null ? null : (decode(output, codec) ?? null)
      return { id: runId, status, output: value, error: error?.message ?? null }
    },
  }
}

function plansOf(state: State, name: string, branches: Branches): Record<string, Plan> {
  const what = `branches of waitAny "${name}"`
  requireObject(branches, what)
  const entries = Object.entries(branches)
  if (entries.length === 0) {
    throw new ValidationError(`${what}: there are none, so that nothing could end it`)
  }
  const plans = entries.map(([key, branch]): [string, Plan] => [
    key,
    planOf(state, name, branch, `${what}: "${key}"`),
  ])
  requireDistinct(plans, what)
  return Object.fromEntries(plans)
}

function planOf(state: State, name: string, branch: Branch<unknown>, what: string): Plan {
  const { kind } = ((branch as Branch<unknown> | null)?.what ?? {}) as Partial<BranchOf>
  if (kind === undefined) {
    throw new ValidationError(
      `${what} must be made with wait, such as wait.for('3d'); got ${show(branch)}`,
    )
  }
  const of = branch.what
  switch (of.kind) {
    case 'signal':
      return signalPlan(state, of.name, { schema: of.schema ?? undefined })
    case 'token':
      return tokenPlan(state, of.token)
    case 'run':
      return runPlan(state, of.runId)
    case 'for':
      return sleepFor(name, of.ms)
    case 'until':
      return sleepUntil(name, of.time)
  }
}

function requireDistinct(plans: readonly (readonly [string, Plan])[], what: string): void {
  const keys = new Map<string, string>()
  for (const [key, { kind, name }] of plans) {
    if (kind === 'sleep') continue
    const other = keys.get(`${kind} ${name}`)
    if (other !== undefined) {
      throw new ValidationError(`${what}: "${other}" and "${key}" wait for the same ${kind}`)
    }
    keys.set(`${kind} ${name}`, key)
  }
}

/** The one wait: its deadlines are fixed when it begins, and what ends it is recorded with its value. */
function wait(
  state: State,
  name: string,
  plans: Readonly<Record<string, Plan>>,
  shape: (key: string, value: unknown) => unknown,
): Promise<unknown> {
  const { calls, history, env, outbox, suspension, waits } = state
  const entries = Object.entries(plans)
  return calls.make(
    name,
    (call, index) => {
      const opened = history.openWait(name)
      const at = opened?.at ?? env.now()
      const sources = entries.map(([, plan], i) => toSource(plan, i, opened, at))
      if (opened === null) {
        const data = entryData('step:wait', { index, waits: sources.map(toWait) })
        outbox.ride({ kind: 'step:wait', name, at, data })
      }
      const end: OpenWait['end'] = (i, message) => {
        const [key, plan] = entries[i] ?? ['', null]
        const value = async () =>
          encode(shape(key, await plan?.valueOf(message)), state.codec, `value of "${name}"`)
        void close(state, call, index, at, value, message)
      }
      const open = (): void => waits.open({ name, index, sources, end })
      suspension.consider()
      const watched = entries.flatMap(([, plan]) => (plan.kind === 'run' ? plan.name : []))
      if (watched.length === 0) open()
      else void watch(state, call, index, at, watched, open)
    },
    null,
  )
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

/** Records what ended the wait, in one commit with taking it out of the mailbox. */
async function close(
  state: State,
  call: Call,
  index: number,
  begunAt: number,
  value: () => Promise<Encoded>,
  message: Message | null,
): Promise<void> {
  const { env, outbox, calls, suspension } = state
  const { name } = call
  const duration = env.now() - begunAt
  const consumes = message === null ? null : { consumes: message.seq }
  const failed = (thrown: unknown): void => {
    const error = describeError(thrown, name)
    const data = entryData('step:fail', { index, duration, error })
    const onCommitted = (): void => calls.failed(call, error)
    outbox.add({ kind: 'step:fail', name, at: env.now(), data, ...consumes, onCommitted })
  }
  suspension.enter()
  try {
    const output = await value()
    const data = stepCompleteData(index, duration, output)
    const onCommitted = (): void => calls.succeeded(call, output)
    const item = { kind: 'step:complete', name, at: env.now(), data, ...consumes } as const
    outbox.add({ ...item, onCommitted, onRejected: failed })
  } catch (error) {
    failed(error)
  }
  suspension.leave()
}

/** Has the ends of other runs told to this one. A database that does not answer is asked until it does. */
async function watch(
  state: State,
  call: Call,
  index: number,
  begunAt: number,
  targets: readonly string[],
  open: () => void,
): Promise<void> {
  const { store, run, env, calls, waits, suspension, onError } = state
  const backoff = createBackoff(env)
  const left = [...targets]
  suspension.enter()
  for (let target = left[0]; target !== undefined && !calls.isOver(); target = left[0]) {
    try {
      if (!(await store.watch(run.id, target, env.now()))) {
        const missing = new NotFoundError(`Run not found: ${target}`)
        await close(state, call, index, begunAt, () => Promise.reject(missing), null)
        return suspension.leave()
      }
      left.shift()
    } catch (error) {
      onError(error, 'watching another run', run)
      await pause(env, backoff.next())
    }
  }
  open()
  waits.check()
  suspension.leave()
}

/** The token stands in the journal of its run before anyone has it. */
function makeToken(
  state: State,
  name: string,
  options: TokenOptions<unknown> = {},
): Promise<unknown> {
  requireObject(options, 'options')
  const { timeout, schema = null } = options
  if (schema !== null) requireSchema(schema, `schema of token "${name}"`)
  const ms = timeout === undefined ? null : parseDuration(timeout, `timeout of token "${name}"`)
  const read = (value: unknown): string => {
    const stored = value as StoredToken
    state.tokens.set(stored.token, { ...stored, name, schema })
    return stored.token
  }
  return state.calls.make(name, (call, index) => void storeToken(state, call, index, ms), read)
}

async function storeToken(
  state: State,
  call: Call,
  index: number,
  ms: number | null,
): Promise<void> {
  const { env, outbox, calls, suspension, codec } = state
  const { name } = call
  const at = env.now()
  suspension.enter()
  const token = env.secret()
  const expiresAt = ms === null ? null : at + ms
  const hash = await env.digest(token)
  const output = await encode({ token, expiresAt } satisfies StoredToken, codec, `token "${name}"`)
  outbox.add({
    kind: 'step:complete',
    name,
    at,
    data: stepCompleteData(index, 0, output, true),
    token: { hash, name, expiresAt },
    onCommitted: () => calls.succeeded(call, output),
  })
  suspension.leave()
}
