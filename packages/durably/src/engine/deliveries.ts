import type { Env } from '../core/env.ts'

/**
 * The outcomes of a run's calls, handed to the job's code in the order in which the journal has them, so that
 * races and parallel calls settle on replay as they did the first time. Recorded outcomes are laid out first
 * and wait to be asked for; outcomes of this execution follow as they are committed.
 *
 * One outcome a turn, the first time and on replay: all that the code makes of it comes before the next one,
 * whether they were stored together or not, and in whatever order they are asked for.
 */
export interface Deliveries {
  /** Lays out a recorded outcome; answers its position, to ask for it by. */
  expect(): number
  ask(position: number, deliver: () => void): void
  /** Hands out an outcome that was committed just now, after all that stand before it. */
  push(deliver: () => void): void
}

export function createDeliveries(env: Env): Deliveries {
  const asked = new Map<number, () => void>()
  let laidOut = 0
  /** The position after the last one that was handed out. */
  let next = 0
  /** No position before this one is asked for. */
  let first = 0
  let isServing = false

  /** Whose turn it is gets it at once. Who is ahead waits: an earlier one may be asked for within this turn. */
  function ask(position: number, deliver: () => void): void {
    asked.set(position, deliver)
    first = Math.min(first, position)
    if (isServing) return
    isServing = true
    if (position <= next) serve()
    else env.turn(serve)
  }

  function serve(): void {
    isServing = asked.size > 0
    if (!isServing) return
    while (!asked.has(first)) first++
    const deliver = asked.get(first)
    asked.delete(first)
    next = Math.max(next, first + 1)
    deliver?.()
    env.turn(serve)
  }

  return {
    expect: () => laidOut++,
    ask,
    push: (deliver) => ask(laidOut++, deliver),
  }
}
