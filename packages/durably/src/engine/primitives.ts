import type { StandardSchemaV1 } from '@standard-schema/spec'
import { decode } from '../core/codec.ts'
import type { Duration } from '../core/duration.ts'
import { parseDuration } from '../core/parse-duration.ts'
import { ValidationError } from '../core/error.ts'
import type { JobDefinition } from '../core/job.ts'
import { parseWith, requireSchema } from '../core/schema.ts'
import { requireDate } from '../core/require-date.ts'
import { requireObject, requireOptions } from '../core/require-object.ts'
import { show } from '../core/show.ts'
import type { SignalOptions, StepContext, TokenOptions } from '../core/step-context.ts'
import type { Branch, Branches, BranchOf, RunEnd } from '../core/wait.ts'
import type { Ending } from '../store/store.ts'
import { refuse } from './calls.ts'
import { createTokens, type Tokens } from './tokens.ts'
import { ONLY, wait, type Plan, type WaitOptions } from './wait.ts'

export interface PrimitivesOptions extends WaitOptions {
  readonly job: Pick<JobDefinition, 'signals'>
  /** The step inside of whose function the code is, where that is known. */
  readonly stepInside: () => string | null
}

interface State extends PrimitivesOptions {
  readonly tokens: Tokens
}

type Primitive = 'sleep' | 'sleepUntil' | 'waitForSignal' | 'token' | 'waitForToken' | 'waitAny'

const never = (): null => null

/** What a job waits with. All are one wait: for the first of some sources. */
export function createPrimitives(options: PrimitivesOptions): Pick<StepContext, Primitive> {
  const tokens = createTokens(options)
  const state: State = { ...options, tokens }
  const only = (by: 'sleep' | 'waitForSignal' | 'waitForToken', name: string, plan: Plan) =>
    wait(state, by, name, { [ONLY]: plan }, valueOnly)
  const primitives = {
    sleep: (name: string, duration: Duration) =>
      checked(options, 'sleep', name, () => only('sleep', name, sleepFor(name, duration))),
    sleepUntil: (name: string, date: Date) =>
      checked(options, 'sleepUntil', name, () => only('sleep', name, sleepUntil(name, date))),
    waitForSignal: (name: string, signalOptions?: SignalOptions<unknown>) =>
      checked(options, 'waitForSignal', name, () =>
        only('waitForSignal', name, signalPlan(state, name, signalOptions)),
      ),
    token: (name: string, tokenOptions?: TokenOptions<unknown>) =>
      checked(options, 'token', name, () => tokens.make(name, tokenOptions)),
    waitForToken: (name: string, token: string) =>
      checked(options, 'waitForToken', name, () => {
        const outcome = only('waitForToken', name, tokenPlan(state, token))
        tokens.awaited(name, new Map([[ONLY, token]]), outcome, (value) => [ONLY, value])
        return outcome
      }),
    waitAny: (name: string, branches: Branches) =>
      checked(options, 'waitAny', name, () => {
        const outcome = wait(state, 'waitAny', name, plansOf(state, name, branches), keyAndValue)
        const texts = tokensOf(branches)
        if (texts.size > 0) tokens.awaited(name, texts, outcome, firstOf)
        return outcome
      }),
  }
  return primitives as Pick<StepContext, Primitive>
}

const valueOnly = (_key: string, value: unknown): unknown => value
const keyAndValue = (key: string, value: unknown) => ({ key, value })

function firstOf(outcome: unknown): readonly [key: unknown, value: unknown] {
  const { key, value } = outcome as ReturnType<typeof keyAndValue>
  return [key, value]
}

/** What is wrong with the arguments rejects the call, and so does a wait inside of a step's function. */
function checked(
  { calls, stepInside }: PrimitivesOptions,
  primitive: Primitive,
  name: string,
  make: () => Promise<unknown>,
): Promise<unknown> {
  try {
    const step = calls.isOver() ? null : stepInside()
    if (step === null) return make()
    throw new ValidationError(
      `${primitive} "${name}" was called inside the function of step "${step}", which would have to run again after it: call it between steps`,
    )
  } catch (error) {
    return refuse(error)
  }
}

function sleepFor(name: string, duration: Duration): Plan {
  const ms = parseDuration(duration, `duration of sleep "${name}"`)
  return { kind: 'sleep', name, until: (begunAt) => begunAt + ms, valueOf: never }
}

function sleepUntil(name: string, date: Date): Plan {
  const time = requireDate(date, `date of sleep "${name}"`)
  return { kind: 'sleep', name, until: () => time, valueOf: never }
}

function signalPlan(state: State, name: string, options: SignalOptions<unknown> = {}): Plan {
  requireOptions(options, { timeout: true, schema: true })
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
  const { name, expiresAt, schema } = state.tokens.known(text)
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

function runPlan({ codec, run }: State, runId: string, what: string): Plan {
  if (runId === run.id) throw new ValidationError(`${what} would wait for the end of its own run`)
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
      return runPlan(state, of.runId, what)
    case 'for':
      return sleepFor(name, of.ms)
    case 'until':
      return sleepUntil(name, new Date(of.time))
  }
}

function tokensOf(branches: Branches): Map<string, string> {
  const entries = Object.entries(branches)
  return new Map(
    entries.flatMap(([key, { what }]) => (what.kind === 'token' ? [[key, what.token]] : [])),
  )
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
