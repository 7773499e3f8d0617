import { V7Generator } from 'uuidv7'
import type { Env } from '../core/env.ts'
import { createEnv } from '../env.ts'

/** Time that passes only when it is told to, for any number of processes. */
export interface VirtualTime {
  now(): number
  /** The environment of one process. */
  createEnv(): VirtualEnv
  /** Lets nothing count as settled before `work` is; it is real work, such as that of a database. */
  track<T>(work: Promise<T>): Promise<T>
  /** The same for code of a job, which may never be done: it is waited for up to a second of real time. */
  attend(work: Promise<unknown>): void
  /** Resolves when all that can happen without time passing has happened. */
  settle(): Promise<void>
  /** Lets time pass; each timer fires at its time, and what comes of it happens before the next one. */
  advance(ms: number): Promise<void>
  /** Time passes and nothing else happens, as when code of a job blocks the event loop. */
  block(ms: number): void
  /** Lets as much time pass as `promise` needs to settle. */
  until<T>(promise: Promise<T>): Promise<T>
  /** Lets time pass until `isDone`; false when that takes longer than `limitMs`. */
  pass(isDone: () => boolean | Promise<boolean>, limitMs: number): Promise<boolean>
  /** Why something did not come: code of a job that was left behind, or else the reason given. */
  whyNot(reason: string): string
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
const REAL_PATIENCE_MS = 1000

const LEFT_BEHIND =
  'a step, or the code between steps, was still at work after a second of real time, and was left behind; let a fake stand for what takes so long'

interface World {
  now: number
  /** Goes up with all that happens. */
  activity: number
  readonly work: Set<Promise<unknown>>
  readonly timers: Set<Timer>
  /** Code of jobs that is at work for longer than it is waited for. */
  readonly leftBehind: Set<Promise<unknown>>
  readonly real: Env
  readonly random: () => number
  /** One for all processes: ids sort by when they were made, wherever that was. */
  readonly ids: V7Generator
}

export function createVirtualTime(start: number, seed = 1): VirtualTime {
  const world: World = {
    now: start,
    activity: 0,
    work: new Set(),
    timers: new Set(),
    leftBehind: new Set(),
    real: createEnv(),
    random: createRandom(seed),
    ids: new V7Generator(),
  }
  return {
    now: () => world.now,
    createEnv: () => createVirtualEnv(world),
    track: (work) => track(world, work),
    attend: (work) => void track(world, patiently(world, work)),
    settle: () => settle(world),
    async advance(ms) {
      const end = world.now + ms
      await settle(world)
      while (fireNext(world, end)) await settle(world)
      world.now = end
    },
    block(ms) {
      world.now += ms
    },
    until: (promise) => until(world, promise),
    pass: (isDone, limitMs) => pass(world, isDone, limitMs),
    whyNot: (reason) => (world.leftBehind.size > 0 ? LEFT_BEHIND : reason),
  }
}

function track<T>(world: World, promise: Promise<T>): Promise<T> {
  const tracked = promise.finally(() => {
    world.activity++
    world.work.delete(tracked)
  })
  world.work.add(tracked)
  return tracked
}

/** Resolves when `work` settles, or when it did not for too long. */
async function patiently({ real, leftBehind }: World, work: Promise<unknown>): Promise<void> {
  const enough = Promise.withResolvers<void>()
  const cancel = real.after(REAL_PATIENCE_MS, () => {
    leftBehind.add(work)
    enough.resolve()
  })
  const settled = work.catch(() => {}).then(() => leftBehind.delete(work))
  await Promise.race([settled, enough.promise])
  cancel()
}

async function settle(world: World): Promise<void> {
  const { work, real } = world
  let quiet = 0
  while (quiet < QUIET_TURNS) {
    await Promise.allSettled(work)
    const before = world.activity
    await new Promise<void>((resolve) => real.turn(resolve))
    quiet = work.size === 0 && world.activity === before ? quiet + 1 : 0
  }
}

/** Fires the next timer that is due until then; false when there is none. */
function fireNext(world: World, until: number): boolean {
  const { timers } = world
  let next: Timer | undefined
  for (const timer of timers) if (next === undefined || timer.dueAt < next.dueAt) next = timer
  if (next === undefined || next.dueAt > until) return false
  timers.delete(next)
  world.now = Math.max(world.now, next.dueAt)
  next.fn()
  return true
}

async function until<T>(world: World, promise: Promise<T>): Promise<T> {
  let isPending = true
  const settled = promise.finally(() => {
    isPending = false
  })
  settled.catch(() => {})
  if (await pass(world, () => !isPending, PATIENCE_MS)) return settled
  throw new Error(`Nothing came of it in ${PATIENCE_MS} ms`)
}

async function pass(
  world: World,
  isDone: () => boolean | Promise<boolean>,
  limitMs: number,
): Promise<boolean> {
  const deadline = world.now + limitMs
  await settle(world)
  while (!(await isDone())) {
    if (!fireNext(world, deadline)) return false
    await settle(world)
  }
  return true
}

function createVirtualEnv(world: World): VirtualEnv {
  const { timers, real, random, ids } = world
  const own = new Set<Timer>()
  let isAlive = true
  return {
    now: () => world.now,
    elapsed: () => world.now,
    random,
    scope: real.scope,
    id: () => ids.generateOrResetWithTs(world.now).toString(),
    secret: () => `secret-${ids.generateOrResetWithTs(world.now).toString()}`,
    // The real one works in a thread, in which time would not wait for it.
    digest: async (secret) => `digest of ${secret}`,
    after(ms, fn) {
      const timer: Timer = {
        // Clocks count whole milliseconds.
        dueAt: Math.ceil(world.now + ms),
        fn() {
          own.delete(timer)
          fn()
        },
      }
      world.activity++
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
      real.turn(() => {
        world.activity++
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
