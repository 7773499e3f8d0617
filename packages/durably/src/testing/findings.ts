import type { RunStatus } from '../core/transitions.ts'
import type { CrashPlace } from './crash-place.ts'

/** A call of an effect in the job's code, with what happened to it over all crashes. */
export interface EffectReport {
  readonly effect: string
  /** The call as it was first made. */
  readonly call: string
  /** Null: outside any step. */
  readonly step: string | null
  /** `file:line`, if the platform tells. */
  readonly source: string | null
  /** How often it ran without a crash. */
  readonly times: number
  /** The most often that it ran with one crash, before and after it together. */
  readonly timesWithCrash: number
  readonly verdict: 'once' | 'same effect' | 'may run twice' | 'runs again' | 'missing'
  /** The crashes after which it had run more or less often than without one. */
  readonly crashes: readonly CrashPlace[]
}

/** A place where the process was killed, and how the run ended then. */
export interface PlaceReport {
  readonly place: CrashPlace
  readonly status: RunStatus
  readonly output: unknown
  readonly error: string | null
  /** It ended like a run without a crash. */
  readonly agrees: boolean
}

/** How a run ends. */
export type Outcome = Pick<PlaceReport, 'status' | 'output' | 'error'>

/** What was found, before there are words for it. */
export interface Findings {
  readonly jobName: string
  /** What could be called of `effects`. */
  readonly names: readonly string[]
  /** What was. */
  readonly effects: readonly EffectReport[]
  readonly places: readonly PlaceReport[]
  /** How the run ends without a crash. */
  readonly expected: Outcome
  /** How it ends then, too, if it is not the same each time. */
  readonly other: Outcome | null
  /** Crash places to which the run did not come when it was to crash there. */
  readonly unreached: number
}
