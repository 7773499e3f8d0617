import type { Env } from '../core/env.ts'
import { entryData } from '../core/journal.ts'
import type { Calls } from './calls.ts'
import type { Deliveries } from './deliveries.ts'
import type { Outbox } from './outbox.ts'
import type { Waits } from './waits.ts'

/** Parks a run whose code only waits, and lets it go on when it is held again. */
export interface Suspension {
  /** Something is under way that the run is to be held for, until `leave`. */
  enter(): void
  leave(): void
  /** Something has come to rest: the run may have nothing to do. */
  consider(): void
  /** A call was made that is held until the run is. */
  called(): void
  /** The run is held again. */
  resume(inbox: number): void
  /** The job's code is over: resolves once the run is held, which it then stays. */
  finish(): Promise<void>
}

/** What wakes a parked run. */
export interface ParkedUntil {
  /** Messages beyond this position. */
  readonly inbox: number
  /** This time; null: none. */
  readonly wakeAt: number | null
}

export interface SuspensionOptions {
  readonly env: Env
  readonly calls: Calls
  readonly waits: Waits
  readonly deliveries: Deliveries
  readonly outbox: Outbox
  /** When the run is to be woken though nothing ends; null: never. */
  readonly deadline: number | null
  /** The run is given up. */
  readonly onParked: (until: ParkedUntil) => void
  /** The code of the parked run goes on by itself and needs the run to be held. */
  readonly onAsked: () => void
  readonly onRejected: (error: Error) => void
}

interface State extends SuspensionOptions {
  underWay: number
  scheduled: boolean
  status: 'held' | 'parking' | 'parked'
  readonly onHeld: (() => void)[]
}

export function createSuspension(options: SuspensionOptions): Suspension {
  const suspension: State = {
    ...options,
    underWay: 0,
    scheduled: false,
    status: 'held',
    onHeld: [],
  }
  return {
    enter() {
      suspension.underWay++
    },
    leave() {
      suspension.underWay--
      consider(suspension)
    },
    consider: () => consider(suspension),
    called: () => ask(suspension),
    resume(inbox) {
      options.waits.mail(inbox)
      goOn(suspension)
    },
    finish: () =>
      new Promise((resolve) => {
        const stay = (): void => {
          suspension.underWay++
          resolve()
        }
        if (suspension.status === 'held') return stay()
        suspension.onHeld.push(stay)
        ask(suspension)
      }),
  }
}

/** After a full turn, in which code that waits for something else may go on. */
function consider(suspension: State): void {
  if (suspension.scheduled || !isAtRest(suspension)) return
  suspension.scheduled = true
  suspension.env.turn(() => {
    suspension.scheduled = false
    if (!isAtRest(suspension)) return
    if (suspension.deliveries.isIdle()) park(suspension)
    else consider(suspension)
  })
}

function isAtRest({ underWay, status, calls, waits, outbox }: State): boolean {
  return (
    underWay === 0 && status === 'held' && waits.isWaiting() && outbox.isQuiet() && !calls.isOver()
  )
}

function park(suspension: State): void {
  const { calls, waits, outbox, env, deadline, onRejected } = suspension
  suspension.status = 'parking'
  calls.hold()
  waits.freeze()
  const list = waits.list()
  const until = { inbox: waits.inbox(), wakeAt: earliest(waits.nextTime(), deadline) }
  outbox.park({
    item: {
      kind: 'run:wait',
      name: null,
      at: env.now(),
      data: entryData('run:wait', { waits: list }),
      transition: { name: 'park', ...until, waits: list },
    },
    onAnswer(isParked) {
      if (isParked) parked(suspension, until)
      else refused(suspension)
    },
    onRejected,
  })
}

function earliest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b)
}

function parked(suspension: State, until: ParkedUntil): void {
  suspension.status = 'parked'
  suspension.onParked(until)
  if (suspension.calls.hasHeld() || suspension.onHeld.length > 0) ask(suspension)
}

/** Something was sent that it has not seen. */
function refused(suspension: State): void {
  suspension.waits.check()
  goOn(suspension)
}

function goOn(suspension: State): void {
  const { calls, waits, onHeld } = suspension
  suspension.status = 'held'
  waits.thaw()
  calls.release()
  for (const stay of onHeld.splice(0)) stay()
}

function ask({ status, onAsked }: State): void {
  if (status === 'parked') onAsked()
}
