import type { RunStatus } from '../core/transitions.ts'
import type { CrashPlace } from './crash-place.ts'
import type { Trial } from './crash-trial.ts'
import type { EffectCall } from './effects.ts'

/** What `crashTest` found. */
export interface CrashReport {
  /** No errors. Warnings do not count. */
  readonly ok: boolean
  /** What goes wrong after a crash, a sentence each. */
  readonly errors: readonly string[]
  /** What may happen twice, because a step happens at least once. */
  readonly warnings: readonly string[]
  /** Each place a process was killed at ended with the status and the output of a run without a crash. */
  readonly outputsAgree: boolean
  /** Where the job calls its effects, and how often. */
  readonly effects: readonly EffectReport[]
  readonly places: readonly PlaceReport[]
  /** All of it, for people. */
  toString(): string
}

/** A call of an effect in the job's code, over all crashes. */
export interface EffectReport {
  readonly effect: string
  /** The call as it was made first. */
  readonly call: string
  /** Null: outside of any step. */
  readonly step: string | null
  /** `file:line`, where the platform tells. */
  readonly source: string | null
  /** How often it ran in a run without a crash. */
  readonly times: number
  /** How often it ran at most, before and after one crash. */
  readonly timesWithCrash: number
  readonly verdict: 'once' | 'same effect' | 'may run twice' | 'runs again' | 'missing'
  /** The crashes after which it had run more often, or less often, than without one. */
  readonly crashes: readonly CrashPlace[]
}

/** A place where the process was killed, and how its run ended. */
export interface PlaceReport {
  readonly place: CrashPlace
  readonly status: RunStatus
  /** As JSON text: the output, or the error's message. */
  readonly result: string
  readonly agrees: boolean
}

export interface ReportOptions {
  readonly jobName: string
  readonly dryRun: Trial
  /** A second run without a crash: what differs here already says nothing about crashes. */
  readonly control: Trial
  readonly trials: readonly Trial[]
  /** Effects that are the same effect when they are called with the same arguments. */
  readonly idempotent: ReadonlySet<string>
}

export function createReport(options: ReportOptions): CrashReport {
  const { jobName, dryRun, control, idempotent } = options
  const trials = options.trials.filter(({ crashed }) => crashed)
  const effects = sitesOf([dryRun, ...trials]).map((site) =>
    judge(site, dryRun, trials, idempotent),
  )
  const isSteady = control.status === dryRun.status && control.result === dryRun.result
  const places = trials.map((trial) => judgePlace(trial, dryRun, isSteady))
  const messages = [
    ...effects.flatMap(describeEffect),
    ...(isSteady ? [] : [describeUnsteady(dryRun, control)]),
    ...places.flatMap((place) => describePlace(place, dryRun, effects)),
  ]
  const texts = (severity: Message['severity']): string[] =>
    messages.filter((message) => message.severity === severity).map(({ text }) => text)
  const errors = texts('error')
  const warnings = texts('warning')
  const kept = effects.filter(({ verdict }) => verdict === 'once' || verdict === 'same effect')
  const lines = [
    `crashTest of job "${jobName}": crashes ${places.length}, errors ${errors.length}, warnings ${warnings.length}`,
    ...errors.map((text) => `ERROR ${text}`),
    ...warnings.map((text) => `WARNING ${text}`),
    ...kept.map((effect) => `ok ${describeKept(effect)}`),
  ]
  return {
    ok: errors.length === 0,
    errors,
    warnings,
    outputsAgree: places.every(({ agrees }) => agrees),
    effects,
    places,
    toString: () => lines.join('\n'),
  }
}

interface Message {
  readonly severity: 'error' | 'warning'
  readonly text: string
}

function siteOf({ effect, step, source }: EffectCall): string {
  return JSON.stringify([effect, step, source])
}

/** The first call at each place of the code. */
function sitesOf(trials: readonly Trial[]): EffectCall[] {
  const sites = new Map<string, EffectCall>()
  for (const call of trials.flatMap(({ calls }) => calls)) {
    if (!sites.has(siteOf(call))) sites.set(siteOf(call), call)
  }
  return [...sites.values()]
}

function judge(
  site: EffectCall,
  dryRun: Trial,
  trials: readonly Trial[],
  idempotent: ReadonlySet<string>,
): EffectReport {
  const { effect, args, step, source } = site
  const callsIn = ({ calls }: Trial): EffectCall[] =>
    calls.filter((call) => siteOf(call) === siteOf(site))
  /** Calls that whoever receives them takes for one count once. */
  const effectsIn = (trial: Trial): number =>
    new Set(callsIn(trial).map((call, i) => (call.keyed || idempotent.has(effect) ? call.args : i)))
      .size
  // What happens only after a crash has not happened twice.
  const expected = Math.max(1, effectsIn(dryRun))
  const repeated = trials.filter((trial) => effectsIn(trial) > expected)
  const missing = trials.filter((trial) => effectsIn(trial) < effectsIn(dryRun))
  const calledMore = trials.some((trial) => callsIn(trial).length > callsIn(dryRun).length)
  const verdict = (): EffectReport['verdict'] => {
    if (repeated.length > 0) return step === null ? 'runs again' : 'may run twice'
    if (missing.length > 0) return 'missing'
    return calledMore && callsIn(dryRun).length > 0 ? 'same effect' : 'once'
  }
  return {
    effect,
    call: `${effect}(${args})`,
    step,
    source,
    times: callsIn(dryRun).length,
    timesWithCrash: Math.max(0, ...trials.map((trial) => callsIn(trial).length)),
    verdict: verdict(),
    crashes: (repeated.length > 0 ? repeated : missing).flatMap(({ crashAt }) => crashAt ?? []),
  }
}

function judgePlace(trial: Trial, dryRun: Trial, isSteady: boolean): PlaceReport {
  const { crashAt, status, result } = trial
  const agrees = status === dryRun.status && (!isSteady || result === dryRun.result)
  return { place: crashAt ?? '', status, result, agrees }
}

function describeEffect(report: EffectReport): Message[] {
  const { effect, call, crashes } = report
  const [severity, advice] = judgements[report.verdict] ?? []
  if (severity === undefined || advice === undefined) return []
  const often = `${call} ran ${count(report.timesWithCrash)} instead of ${count(report.times)}`
  const what = report.verdict === 'missing' ? `${call} did not run` : often
  const seen = `Seen after a crash ${listOf(crashes)}.`
  const text = [`${what}, ${whereOf(report)}`, advice(effect), seen].join('\n  ')
  return [{ severity, text }]
}

const judgements: Partial<
  Record<EffectReport['verdict'], [Message['severity'], (effect: string) => string]>
> = {
  'runs again': [
    'error',
    () => 'Code between steps runs again after a crash: put the call into a step.',
  ],
  missing: ['error', () => 'Without a crash it does.'],
  'may run twice': [
    'warning',
    (effect) =>
      `A step runs again if its process dies before its result is stored: pass info.idempotencyKey to the call, or list '${effect}' under idempotent if repeating it does no harm.`,
  ],
}

function describePlace(
  { agrees, place, status, result }: PlaceReport,
  dryRun: Trial,
  effects: readonly EffectReport[],
): Message[] {
  if (agrees) return []
  // A second charge has a second receipt.
  const isKnown = effects.some(
    ({ verdict, crashes }) => verdict === 'may run twice' && crashes.includes(place),
  )
  const text = `The run ended as ${status} ${result} instead of ${dryRun.status} ${dryRun.result}\n  Seen after a crash ${place}.`
  return [{ severity: isKnown && status === dryRun.status ? 'warning' : 'error', text }]
}

function describeUnsteady(dryRun: Trial, control: Trial): Message {
  const [one, other] = [dryRun, control].map(({ status, result }) => `${status} ${result}`)
  const advice =
    'Let reset give each run the same world, and keep time and chance out of the output.'
  const text = `Outputs cannot be compared: two runs without a crash ended as ${one} and as ${other}\n  ${advice}`
  return { severity: 'warning', text }
}

function describeKept(report: EffectReport): string {
  const { call, timesWithCrash, verdict } = report
  const often =
    verdict === 'once'
      ? 'ran no more often than without a crash'
      : `ran ${count(timesWithCrash)}, as one effect`
  return `${call} ${often}, ${whereOf(report)}`
}

const SHOWN_PLACES = 3

function listOf(places: readonly CrashPlace[]): string {
  const shown = places.slice(0, SHOWN_PLACES).join('; ')
  const more = places.length - SHOWN_PLACES
  return more > 0 ? `${shown}; and at ${more} more places` : shown
}

function whereOf({ step, source }: EffectReport): string {
  const where = step === null ? 'outside of any step' : `in step "${step}"`
  return source === null ? where : `${where}, at ${source}`
}

function count(times: number): string {
  if (times <= 2) return ['never', 'once', 'twice'][times] ?? ''
  return `${times} times`
}
