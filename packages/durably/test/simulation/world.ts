import { assemble } from '../../src/durably.ts'
import type { Env } from '../../src/core/env.ts'
import { eventTypes } from '../conformance/api/audit.ts'
import type { Instance, Jobs } from '../../src/core/instance.ts'
import type { Wakeups } from '../../src/core/wakeups.ts'
import type { Store } from '../../src/store/store.ts'
import { createConnection, type Connection } from './connection.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { createObserver, type Observer } from './observer.ts'
import { WAITING_JOB, type Fault, type Plan, type StoreOperation } from './plan.ts'
import type { Random } from './random.ts'
import { createTimeline, type Owner, type Timeline } from './timeline.ts'
import { createJob } from './workload.ts'

export const POLL_MS = 400
/** Which part of a lease goes between two. */
const HEARTBEATS = 0.28

/** A process that works on the shared database. */
export interface Process extends Owner {
  readonly durably: Instance<Jobs | null>
  readonly connection: Connection
  skew: number
}

export interface World {
  readonly timeline: Timeline
  readonly ledger: Ledger
  readonly observer: Observer
  readonly processes: Process[]
  /** Brings signals that were ordered, whoever dies meanwhile. */
  readonly postman: Owner
  /** How wake-ups travel until `wakeupsUntil`. */
  wakeups: Extract<Fault, { kind: 'wakeups' }>['how'] | null
  /** Ends a process and starts another in its place. */
  replace(process: Process): void
  readonly hits: Map<string, number>
  /** What processes were asked and have not answered, as text. */
  readonly asked: Map<Promise<unknown>, readonly [process: Process, what: string]>
}

const START = Date.UTC(2027, 0, 1)

export function createWorld(plan: Plan, store: Store, random: Random): World {
  const timeline = createTimeline(START, random.fork('order'))
  const observer = createObserver(
    (run) => ledger.accounts.get(run)?.attempt ?? 1,
    (run) => {
      const account = ledger.accounts.get(run)
      return account?.concurrencyKey === null && account.jobName !== WAITING_JOB
    },
  )
  const ledger = createLedger(store, observer)
  const world: World = {
    timeline,
    ledger,
    observer,
    processes: [],
    postman: { name: 'postman', alive: true, frozenUntil: 0 },
    wakeups: null,
    hits: new Map(),
    asked: new Map(),
    replace(process) {
      process.alive = false
      const at = world.processes.indexOf(process)
      if (at === -1) return
      const next = start(world, plan, random, `${process.name}'`)
      world.processes[at] = next
    },
  }
  for (let i = 0; i < plan.workers; i++) {
    world.processes.push(start(world, plan, random, `w${i}`))
  }
  return world
}

function start(world: World, plan: Plan, random: Random, name: string): Process {
  const { timeline, ledger, observer } = world
  const owner: Owner = { name, alive: true, frozenUntil: 0 }
  const connection = createConnection({
    store: ledger.store,
    owner,
    timeline,
    random: random.fork(`store ${name}`),
    crash: () => world.replace(process),
    onHit: (fault, operation, when) => count(world.hits, fault, operation, when),
  })
  const env = createEnv(world, owner, random.fork(`env ${name}`), () => process.skew)
  const surroundings = {
    sleep: (ms: number) => new Promise<void>((resolve) => env.after(ms, resolve)),
    sendSoon: (run: string, data: string, ms: number) => {
      const send = async () => world.processes[0]?.durably.signal(run, 'go', data, { id: data })
      // Of a run that has ended it is refused.
      timeline.after(world.postman, ms, () => void send().catch(() => {}))
    },
  }
  const jobs = Object.fromEntries(
    plan.jobs.map((job) => [job.name, createJob(job, observer, surroundings)]),
  )
  const durably = assemble(connection.store, env, {
    jobs,
    pollingInterval: POLL_MS,
    heartbeatInterval: Math.floor(plan.leaseMs * HEARTBEATS),
    staleThreshold: plan.leaseMs,
    maxConcurrentRuns: plan.slots,
    maxCrashes: 1000,
    wakeups: createWakeups(world, owner, random.fork(`wakeups ${name}`)),
  })
  for (const type of eventTypes) durably.on(type, (event) => observer.announced(name, event))
  const process: Process = Object.assign(owner, { durably, connection, skew: 0 })
  durably.start()
  return process
}

function count(hits: World['hits'], fault: string, operation: StoreOperation, when: string): void {
  const cell = `${fault} ${operation} ${when}`
  hits.set(cell, (hits.get(cell) ?? 0) + 1)
}

let lastId = 0

function createEnv(world: World, owner: Owner, random: Random, skew: () => number): Env {
  const { timeline } = world
  let ahead = 0
  return {
    now: () => timeline.now() + skew(),
    elapsed() {
      ahead = Math.max(ahead, skew())
      return timeline.now() + ahead
    },
    after: (ms, fn) => timeline.after(owner, ms, fn),
    turn: (fn) => void timeline.after(owner, 0, fn),
    random: random.next,
    scope: () => null,
    id: () => `${timeline.now()}-${String(lastId++).padStart(9, '0')}`,
    secret: () => `secret-${timeline.now()}-${String(lastId++).padStart(9, '0')}`,
    digest: async (secret) => `digest of ${secret}`,
  }
}

type Heard = (message: string) => void

const listeners = new WeakMap<World, Map<Owner, Heard>>()

/** Messages between the processes: late, doubled, or not at all, while that is what goes wrong. */
function createWakeups(world: World, owner: Owner, random: Random): Wakeups {
  const ofWorld = listeners.get(world) ?? new Map<Owner, Heard>()
  listeners.set(world, ofWorld)
  const deliver = (message: string): void => {
    for (const [other, hear] of ofWorld) {
      const times = world.wakeups === 'lost' ? 0 : world.wakeups === 'twice' ? 2 : 1
      for (let i = 0; i < times; i++) {
        const ms = world.wakeups === 'late' ? random.int(2000) : random.next() * 3
        world.timeline.after(other, ms, () => hear(message))
      }
    }
  }
  return {
    async listen(onWake) {
      ofWorld.set(owner, onWake)
      return async () => void ofWorld.delete(owner)
    },
    notify: async (message) => deliver(message),
  }
}
