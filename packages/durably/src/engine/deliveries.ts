import type { Env } from '../core/env.ts'

/**
 * The outcomes of a run's calls, handed to the job's code in the order in which the journal has them, so that
 * races and parallel calls settle on replay as they did the first time. Recorded outcomes are laid out first
 * and wait to be asked for; outcomes of this execution follow as they are committed.
 *
 * One outcome at a time, the first time and on replay: what the code makes of it comes before the next one,
 * whether they were stored together or not, and in whatever order they are asked for.
 */
export interface Deliveries {
  /** Asks for a recorded outcome. */
  ask(position: number, deliver: () => void): void
  /** Hands out an outcome that was committed just now, after all that stand before it. */
  push(deliver: () => void): void
  /** Nothing is asked for, and what was handed out had its reaction. */
  isIdle(): boolean
}

/**
 * On replay, how many reactions, each to the one before, an outcome may have before code that asks for the very
 * next one gets it. A turn of the event loop would wait for all of them, at twice the price of a long replay.
 */
export const REACTIONS = 6

const nothing = Promise.resolve()

type Deliver = () => void

interface State {
  readonly env: Env
  /** By position: those who asked, once they did. */
  readonly asked: (Deliver | undefined)[]
  waiting: number
  laidOut: number
  /** Positions before this one were recorded by an earlier execution. */
  readonly recorded: number
  /** The position after the last one that was handed out. */
  next: number
  /** Of those before it, the ones that were not: recorded ones that may be asked for late. */
  skipped: number
  /** No position before this one is asked for. */
  first: number
  isServing: boolean
  reactionsLeft: number
  /** Bound once: each outcome has a few of these calls. */
  readonly react: () => void
}

/** `recorded`: how many outcomes the journal has; they have the first positions. */
export function createDeliveries(env: Env, recorded: number): Deliveries {
  const line: State = {
    env,
    asked: [],
    waiting: 0,
    laidOut: recorded,
    recorded,
    next: 0,
    skipped: 0,
    first: 0,
    isServing: false,
    reactionsLeft: 0,
    react: () => afterReaction(line),
  }
  return {
    ask: (position, deliver) => ask(line, position, deliver),
    push: (deliver) => ask(line, line.laidOut++, deliver),
    isIdle: () => !line.isServing,
  }
}

/** Whose turn it is gets it at once. Anyone else waits: an earlier one may be asked for within this turn. */
function ask(line: State, position: number, deliver: Deliver): void {
  line.asked[position] = deliver
  line.waiting++
  line.first = Math.min(line.first, position)
  if (line.isServing) return
  line.isServing = true
  if (position === line.next && line.skipped === 0) serve(line)
  else line.env.turn(() => serve(line))
}

function serve(line: State): void {
  const { asked } = line
  line.isServing = line.waiting > 0
  if (!line.isServing) return
  while (asked[line.first] === undefined) line.first++
  const deliver = asked[line.first]
  asked[line.first] = undefined
  line.waiting--
  advance(line, line.first)
  line.reactionsLeft = REACTIONS
  // Before what follows from it, and after all that was asked for along with it.
  void nothing.then(line.react)
  deliver?.()
}

function advance(line: State, position: number): void {
  if (position < line.next) line.skipped--
  else {
    line.skipped += position - line.next
    line.next = position + 1
  }
}

/**
 * Who asks first for the very next outcome, as a reaction to the last one, has gone on in step with it. Where nobody can
 * be next, there is nothing to wait for: who asks then waits for a turn, and what is committed comes in another one.
 */
function afterReaction(line: State): void {
  const { env, asked, next, recorded, skipped, waiting } = line
  const isFirst = line.reactionsLeft === REACTIONS
  if (isFirst && waiting > 0) return env.turn(() => serve(line))
  if (skipped > 0 || next >= recorded) return serve(line)
  if (line.reactionsLeft-- > 0) return void nothing.then(line.react)
  if (waiting === 0 || asked[next] !== undefined) serve(line)
  else env.turn(() => serve(line))
}
