import { V7Generator } from 'uuidv7'
import type { Env } from '../src/core/env.ts'
import { createEnv } from '../src/env.ts'

/** Time that passes only when it is told to, for any number of processes. */
export interface VirtualTime {
  now(): number
  /** The environment of one process. */
  createEnv(): VirtualEnv
  /** Lets nothing count as settled before `work` is; it is real work, such as that of a database. */
  track<T>(work: Promise<T>): Promise<T>
  /** Resolves when all that can happen without time passing has happened. */
  settle(): Promise<void>
  /** Lets time pass; each timer fires at its time, and what comes of it happens before the next one. */
  advance(ms: number): Promise<void>
  /** Time passes and nothing else happens, as when code of a job blocks the event loop. */
  block(ms: number): void
  /** Lets as much time pass as `promise` needs to settle. */
  until<T>(promise: Promise<T>): Promise<T>
}

export interface VirtualEnv extends Env {
  /** Ends the process: no timer of it fires any more. */
  kill(): void
  /** Timers that were set and neither fired nor were taken back. */
  timers(): number
}

interface Timer {
  readonly dueAt: number
  readonly fn: () => void
}

const QUIET_TURNS = 3
const PATIENCE_MS = 600_000

export function createVirtualTime(start: number, seed = 1): VirtualTime {
  let now = start
  let activity = 0
  const work = new Set<Promise<unknown>>()
  const timers = new Set<Timer>()
  const random = createRandom(seed)
  // One for all processes: ids sort by when they were made, wherever that was.
  const ids = new V7Generator()
  const id = (): string => ids.generateOrResetWithTs(now).toString()

  async function settle(): Promise<void> {
    let quiet = 0
    while (quiet < QUIET_TURNS) {
      await Promise.allSettled(work)
      const before = activity
      await new Promise(setImmediate)
      quiet = work.size === 0 && activity === before ? quiet + 1 : 0
    }
  }

  /** Fires the next timer that is due until then; false when there is none. */
  function fireNext(until: number): boolean {
    let next: Timer | undefined
    for (const timer of timers) if (next === undefined || timer.dueAt < next.dueAt) next = timer
    if (next === undefined || next.dueAt > until) return false
    timers.delete(next)
    now = Math.max(now, next.dueAt)
    next.fn()
    return true
  }

  return {
    now: () => now,
    settle,
    createEnv: () =>
      createVirtualEnv({ now: () => now, timers, random, id, active: () => activity++ }),
    track(promise) {
      const tracked = promise.finally(() => {
        activity++
        work.delete(tracked)
      })
      work.add(tracked)
      return tracked
    },
    async advance(ms) {
      const end = now + ms
      await settle()
      while (fireNext(end)) await settle()
      now = end
    },
    block(ms) {
      now += ms
    },
    async until(promise) {
      let isPending = true
      const settled = promise.finally(() => {
        isPending = false
      })
      settled.catch(() => {})
      const deadline = now + PATIENCE_MS
      await settle()
      while (isPending) {
        if (!fireNext(deadline)) throw new Error(`Nothing came of it in ${PATIENCE_MS} ms`)
        await settle()
      }
      return settled
    },
  }
}

interface World {
  readonly now: () => number
  readonly timers: Set<Timer>
  readonly random: () => number
  readonly id: () => string
  readonly active: () => void
}

function createVirtualEnv({ now, timers, random, id, active }: World): VirtualEnv {
  const { scope } = createEnv()
  const own = new Set<Timer>()
  let isAlive = true
  return {
    now,
    random,
    scope,
    id,
    after(ms, fn) {
      const timer: Timer = {
        // Clocks count whole milliseconds.
        dueAt: Math.ceil(now() + ms),
        fn() {
          own.delete(timer)
          fn()
        },
      }
      active()
      if (isAlive) {
        own.add(timer)
        timers.add(timer)
      }
      return () => {
        own.delete(timer)
        timers.delete(timer)
      }
    },
    turn(fn) {
      setImmediate(() => {
        active()
        if (isAlive) fn()
      })
    },
    kill() {
      isAlive = false
      for (const timer of own) timers.delete(timer)
      own.clear()
    },
    timers: () => own.size,
  }
}

/** Numbers in [0, 1) that are the same for the same seed: a linear congruence of 32 bits. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
