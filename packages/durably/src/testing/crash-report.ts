import { describeAll, describeErrors, describeWarnings } from './describe-report.ts'
import type { Trial } from './crash-trial.ts'
import type { EffectCall } from './effects.ts'
import type { EffectReport, PlaceReport } from './findings.ts'

/** What `crashTest` found. */
export interface CrashReport {
  /** There are no errors. Warnings do not count. */
  readonly ok: boolean
  /** What goes wrong after a crash, one sentence each. */
  readonly errors: readonly string[]
  /** What may happen twice, because a step is executed at least once. */
  readonly warnings: readonly string[]
  /** After each crash, the run ended with the status and the output of a run without a crash. */
  readonly outputsAgree: boolean
  /** Where the job calls its effects, and how often. */
  readonly effects: readonly EffectReport[]
  readonly places: readonly PlaceReport[]
  /** The whole report as text. */
  toString(): string
}

export interface ReportOptions {
  readonly jobName: string
  /** The effects that are recorded. */
  readonly names: readonly string[]
  readonly dryRun: Trial
  /** A second run without a crash: what differs here already says nothing about crashes. */
  readonly control: Trial
  readonly trials: readonly Trial[]
  /** Effects that are the same effect when they are called with the same arguments. */
  readonly idempotent: ReadonlySet<string>
}

export function createReport(options: ReportOptions): CrashReport {
  const { jobName, names, dryRun, control, idempotent } = options
  const trials = options.trials.filter(({ crashed }) => crashed)
  const effects = sitesOf([dryRun, ...trials]).map((site) =>
    judge(site, dryRun, trials, idempotent),
  )
  const isSteady = control.status === dryRun.status && control.result === dryRun.result
  const places = trials.map((trial) => judgePlace(trial, dryRun, isSteady))
  const findings = {
    jobName,
    names,
    effects,
    places,
    expected: dryRun,
    other: isSteady ? null : control,
    unreached: options.trials.length - trials.length,
  }
  const errors = describeErrors(findings)
  const warnings = describeWarnings(findings)
  return {
    ok: errors.length === 0,
    errors,
    warnings,
    outputsAgree: places.every(({ agrees }) => agrees),
    effects,
    places,
    toString: () => describeAll(findings),
  }
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
  const isOne = (call: EffectCall): boolean => call.keyed || idempotent.has(effect)
  /** Calls that whoever receives them takes for one count once. */
  const effectsIn = (trial: Trial): number =>
    new Set(callsIn(trial).map((call, i) => (isOne(call) ? call.args : i))).size
  const before = effectsIn(dryRun)
  /** What is called from here only after a crash was called from elsewhere already. */
  const repeatsOthers = (trial: Trial): boolean =>
    before === 0 && callsIn(trial).some((call) => !isOne(call) && sameIn(trial, call) > 1)
  const repeated = trials.filter(
    (trial) => effectsIn(trial) > Math.max(1, before) || repeatsOthers(trial),
  )
  const missing = trials.filter((trial) => effectsIn(trial) < before)
  const calledMore = trials.some((trial) => callsIn(trial).length > callsIn(dryRun).length)
  const verdict = (): EffectReport['verdict'] => {
    if (repeated.length > 0) return step === null ? 'runs again' : 'may run twice'
    if (missing.length > 0) return 'missing'
    return calledMore && before > 0 ? 'same effect' : 'once'
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

function sameIn({ calls }: Trial, { effect, args }: EffectCall): number {
  return calls.filter((call) => call.effect === effect && call.args === args).length
}

function judgePlace(trial: Trial, dryRun: Trial, isSteady: boolean): PlaceReport {
  const { crashAt, status, output, error, result } = trial
  const agrees = status === dryRun.status && (!isSteady || result === dryRun.result)
  return { place: crashAt ?? '', status, output, error, agrees }
}
