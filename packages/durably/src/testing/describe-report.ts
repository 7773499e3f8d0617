import type { CrashPlace } from './crash-place.ts'
import type { EffectReport, Findings, Outcome, PlaceReport } from './findings.ts'
import { valueText } from './value-text.ts'

export function describeAll(findings: Findings): string {
  const errors = describeErrors(findings)
  const warnings = describeWarnings(findings)
  const crashes = findings.places.length
  return [
    `crashTest of job "${findings.jobName}": crashes ${crashes}, errors ${errors.length}, warnings ${warnings.length}`,
    ...errors.map((text) => `ERROR ${text}`),
    ...warnings.map((text) => `WARNING ${text}`),
    ...describeEffects(findings, ['same effect', 'once']).map((text) => `ok ${text}`),
  ].join('\n')
}

export function describeErrors(findings: Findings): string[] {
  return [
    ...describeEffects(findings, ['runs again', 'missing']),
    ...describeOutcomes(findings, (place) => !isExplained(place, findings)),
  ]
}

export function describeWarnings(findings: Findings): string[] {
  const { names, effects, other, unreached, expected } = findings
  const [uncalled] = effects.length === 0 ? names : []
  return [
    ...(uncalled === undefined ? [] : [describeUncalled(uncalled)]),
    ...describeEffects(findings, ['may run twice']),
    ...describeOutcomes(findings, (place) => isExplained(place, findings)),
    ...(other === null ? [] : [describeUnsteady(expected, other)]),
    ...(unreached === 0 ? [] : [describeUnreached(unreached)]),
  ]
}

/** A sentence for each line of the job: in a loop, it may call its effect from many steps. */
function describeEffects(
  { effects }: Findings,
  verdicts: readonly EffectReport['verdict'][],
): string[] {
  const groups = Map.groupBy(
    effects.filter(({ verdict }) => verdicts.includes(verdict)),
    ({ verdict, effect, step, source }) => JSON.stringify([verdict, effect, source ?? step]),
  )
  return [...groups.values()].flatMap(([first, ...rest]) =>
    first === undefined ? [] : describeEffect(first, rest.length),
  )
}

function describeEffect(report: EffectReport, more: number): string {
  const { verdict, effect, call, step, source, crashes } = report
  const where = step === null ? 'outside of any step' : `in step "${step}"`
  const line = source === null ? '' : `, at ${source}`
  const like = more === 0 ? '' : `; ${more} more like it from there`
  const facts = [`${call} ${happened(report)}, ${where}${line}${like}`]
  if (verdict in advice) facts.push(advice[verdict as keyof typeof advice](effect))
  if (crashes.length > 0) facts.push(`Seen after a crash ${listOf(crashes)}.`)
  return facts.join('\n  ')
}

const advice = {
  'runs again': () => 'Code between steps runs again after a crash: put the call into a step.',
  missing: () => 'It depends on something between steps that is another after a crash.',
  'may run twice': (effect: string) =>
    `A step runs again if its process dies before its result is stored: pass info.idempotencyKey to the call, or list '${effect}' under idempotent if repeating it does no harm.`,
}

function happened({ verdict, times, timesWithCrash }: EffectReport): string {
  switch (verdict) {
    case 'runs again':
    case 'may run twice':
      return `ran ${count(timesWithCrash)} instead of ${count(times)}`
    case 'missing':
      return `ran less often than ${count(times)}`
    case 'same effect':
      return `ran ${count(timesWithCrash)}, as one effect`
    case 'once':
      return 'ran no more often than without a crash'
  }
}

/** A second charge has a second receipt. */
function isExplained({ place, status }: PlaceReport, { effects, expected }: Findings): boolean {
  return (
    status === expected.status &&
    effects.some(({ verdict, crashes }) => verdict === 'may run twice' && crashes.includes(place))
  )
}

function describeOutcomes(
  { places, expected }: Findings,
  filter: (place: PlaceReport) => boolean,
): string[] {
  return places
    .filter((place) => !place.agrees && filter(place))
    .map(
      (place) =>
        `The run ended as ${showOutcome(place)} instead of ${showOutcome(expected)}\n  Seen after a crash ${place.place}.`,
    )
}

function describeUncalled(name: string): string {
  return `No effect was called through effects, such as effects.${name}(…)\n  Let the job call them as members of the object: a function that was taken out of it before is not recorded.`
}

function describeUnsteady(one: Outcome, other: Outcome): string {
  return `Outputs cannot be compared: two runs without a crash ended as ${showOutcome(one)} and as ${showOutcome(other)}\n  Let reset give each run the same world, and keep time and chance out of the output.`
}

function describeUnreached(unreached: number): string {
  return `Untested crash places: ${unreached}, to which the run did not come again\n  Let reset give each run the same world, and keep time and chance out of the names of steps.`
}

function showOutcome({ status, output, error }: Outcome): string {
  return `${status} ${valueText(error ?? output)}`
}

const SHOWN_PLACES = 3

function listOf(places: readonly CrashPlace[]): string {
  const shown = places.slice(0, SHOWN_PLACES).join('; ')
  const more = places.length - SHOWN_PLACES
  return more > 0 ? `${shown}; and at ${more} more places` : shown
}

function count(times: number): string {
  return ['never', 'once', 'twice'][times] ?? `${times} times`
}
