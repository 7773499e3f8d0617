import type { Env } from '../core/env.ts'

/**
 * The outcomes of a run's calls, handed to the job's code in the order in which the journal has them, so that
 * races and parallel calls settle on replay as they did the first time. Recorded outcomes are laid out first
 * and wait to be asked for; outcomes of this execution follow as they are committed.
 */
export interface Deliveries {
  /** Lays out a recorded outcome; answers its position, to ask for it by. */
  expect(): number
  ask(position: number, deliver: () => void): void
  /** Hands out an outcome that was committed just now, after all that stand before it. */
  push(deliver: () => void): void
}

interface Asked {
  readonly position: number
  readonly deliver: () => void
}

export function createDeliveries(env: Env): Deliveries {
  let laidOut = 0
  let next = 0
  const ahead: Asked[] = []

  return {
    expect: () => laidOut++,
    ask: (position, deliver) => ask({ position, deliver }),
    push: (deliver) => ask({ position: laidOut++, deliver }),
  }

  /** Whose turn it is gets it at once. Who is ahead waits: an earlier one may be asked for within this turn. */
  function ask(asked: Asked): void {
    if (asked.position <= next && ahead.length === 0) return deliver(asked)
    ahead.push(asked)
    if (ahead.length === 1) env.turn(deliverFirst)
  }

  /** One outcome a turn: what the code makes of it comes before the next outcome, as when they were written. */
  function deliverFirst(): void {
    const first = ahead.reduce((a, b) => (b.position < a.position ? b : a))
    ahead.splice(ahead.indexOf(first), 1)
    deliver(first)
    if (ahead.length > 0) env.turn(deliverFirst)
  }

  function deliver({ position, deliver }: Asked): void {
    next = Math.max(next, position + 1)
    deliver()
  }
}
