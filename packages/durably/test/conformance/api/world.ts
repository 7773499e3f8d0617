import { afterAll, describe, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import type { DurablyEvent } from '../../../src/core/event.ts'
import type { Handles } from '../../../src/core/handle.ts'
import type { Instance, Jobs } from '../../../src/core/instance.ts'
import { defineJob, type JobDefinition } from '../../../src/core/job.ts'
import type { EngineOptions } from '../../../src/core/options.ts'
import type { StepContext } from '../../../src/core/step-context.ts'
import { assemble } from '../../../src/durably.ts'
import { createEnv } from '../../../src/env.ts'
import { backends } from '../../backends.ts'
import { memory, type Backend } from '../../backend.ts'
import {
  createVirtualTime,
  type VirtualEnv,
  type VirtualTime,
} from '../../../src/testing/virtual-time.ts'
import { audit, eventTypes, watchForUnhandledRejections } from './audit.ts'
import { shareDatabase, type SharedDatabase } from '../shared-database.ts'
import { createWire, type Wire } from './wire.ts'

/** The time at which every world begins. */
export const START = Date.UTC(2027, 0, 1)

/** Node does, by AsyncLocalStorage; browsers have nothing of the kind. */
export const knowsWhoseCodeRuns = createEnv().scope() !== null

/** For what takes hundreds of commits: in a browser each takes 10 to 40 ms, and how many there are proves nothing new. */
export const testAtScale = test.skipIf(typeof window !== 'undefined')

/** One database and the processes that use it, in a time of their own. */
export interface World extends VirtualTime {
  /** A process with an instance on the database, which does not work. */
  join(options?: EngineOptions): Promise<Process>
  /** A process that knows these jobs, and works. */
  work<T extends Jobs>(jobs: T, options?: EngineOptions): Promise<Worker<T>>
}

export interface Process {
  readonly durably: Instance<Jobs | null>
  readonly wire: Wire
  readonly env: VirtualEnv
  /** All it announced. */
  readonly events: DurablyEvent[]
  /** What it said went wrong since it was last asked; a test that leaves something here fails. */
  takeErrors(): DurablyEvent<'worker:error'>[]
  /** Sets its clock so much ahead of the others', or back. */
  setAhead(ms: number): void
  /** Ends it between two instructions: nothing of it reaches the database, or happens, any more. */
  crash(): void
}

interface Worker<T extends Jobs> extends Process {
  readonly jobs: Handles<T>
}

/** Repeats the tests that `define` makes for each backend. */
export function onEveryBackend(define: (open: () => Promise<World>) => void): void {
  onBackends(backends, define)
}

/** The same for tests of what is the same on every database: on the one in memory. */
export function inMemory(define: (open: () => Promise<World>) => void): void {
  onBackends([memory], define)
}

function onBackends(
  chosen: readonly Backend[],
  define: (open: () => Promise<World>) => void,
): void {
  describe.each(chosen)('$name', (backend) => {
    const database = shareDatabase(backend)
    afterAll(() => database.close())
    define(() => openWorld(database))
  })
}

async function openWorld(database: SharedDatabase): Promise<World> {
  const time = createVirtualTime(START)
  await database.begin(time.now)
  const processes: Member[] = []
  const unhandled = watchForUnhandledRejections()
  onTestFinished(async () => {
    try {
      for (const member of processes) await member.leave()
      await time.settle()
      await audit(await database.connect(), processes)
      unhandled.check()
    } finally {
      unhandled.stop()
    }
  })
  const join = async (options: EngineOptions = {}): Promise<Process> => {
    const store = await database.connect()
    const member = createMember(time, createWire(store, time.track), options)
    processes.push(member)
    return member
  }
  return {
    ...time,
    join,
    async work(jobs, options) {
      const process = await join(options)
      const handles = process.durably.register(jobs)
      await process.durably.init()
      return { ...process, jobs: handles }
    },
  }
}

interface Member extends Process {
  /** Ends it properly, if it lives. */
  leave(): Promise<void>
}

function createMember(time: VirtualTime, wire: Wire, options: EngineOptions): Member {
  const env = time.createEnv()
  const clock = createClock(env)
  const durably = assemble(wire.store, { ...env, ...clock }, options)
  const events: DurablyEvent[] = []
  const errors: DurablyEvent<'worker:error'>[] = []
  for (const type of eventTypes) durably.on(type, (event) => void events.push(event))
  durably.on('worker:error', (event) => void errors.push(event))
  let isAlive = true
  return {
    durably,
    wire,
    env,
    events,
    takeErrors: () => errors.splice(0),
    setAhead: clock.setAhead,
    crash() {
      isAlive = false
      wire.cut()
      env.kill()
    },
    async leave() {
      if (!isAlive) return
      wire.intercept(null)
      await time.until(durably.stop({ timeout: 0 }))
      await time.until(durably.close())
      const [error] = errors
      if (error !== undefined) throw new Error(`worker:error, ${error.context}: ${error.error}`)
      if (env.timers() > 0) throw new Error(`${env.timers()} timers are left of a closed instance`)
    },
  }
}

/** The clock of a machine, which can be set. */
function createClock(env: VirtualEnv) {
  let ahead = 0
  let most = 0
  return {
    now: () => env.now() + ahead,
    elapsed: () => env.elapsed() + most,
    setAhead(ms: number) {
      ahead = ms
      most = Math.max(most, ms)
    },
  }
}

/** A job that takes anything. */
export function job<T>(
  run: (step: StepContext, payload: unknown) => T | Promise<T>,
  name = 'job',
): JobDefinition<string, z.ZodUnknown, T> {
  return defineJob({ name, input: z.unknown(), run })
}
