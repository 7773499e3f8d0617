import type { Store } from '../../src/store/store.ts'
import { storeOperations, type Fault, type StoreOperation } from './plan.ts'
import type { Random } from './random.ts'
import type { Owner, Timeline } from './timeline.ts'

/** How a process reaches the shared store: late, with faults, and not at all once it is dead. */
export interface Connection {
  readonly store: Store
  /** The fault meets the next operation it is about. */
  inject(fault: Extract<Fault, { operation: StoreOperation }>): void
  /** Every operation fails until then. */
  breakUntil(time: number): void
}

export interface ConnectionOptions {
  readonly store: Store
  readonly owner: Owner
  readonly timeline: Timeline
  readonly random: Random
  /** Ends the process where it stands. */
  readonly crash: () => void
  /** A fault met an operation. */
  readonly onHit: (fault: string, operation: StoreOperation, when: 'before' | 'after') => void
}

const MAX_LATENCY_MS = 4
// At worst, longer than a lease: what arrives then comes from a worker that was given up.
const MAX_SLOW_MS = 5000

/** What is on its way arrives, whatever became of who sent it. */
const WIRE: Owner = { name: 'wire', alive: true, frozenUntil: 0 }

type Injected = Extract<Fault, { operation: StoreOperation }>

interface State extends ConnectionOptions {
  readonly faults: Injected[]
  brokenUntil: number
}

export function createConnection(options: ConnectionOptions): Connection {
  const state: State = { ...options, faults: [], brokenUntil: 0 }
  const reached = Object.fromEntries(
    storeOperations.map((operation) => [operation, reach(state, operation, operation)]),
  )
  return {
    store: {
      ...options.store,
      ...reached,
      // Rare: they meet what is meant for those that are like them.
      remove: reach(state, 'remove', 'act') as Store['remove'],
      retire: reach(state, 'retire', 'renew') as Store['retire'],
    },
    inject: (fault) => void state.faults.push(fault),
    breakUntil(time) {
      state.brokenUntil = time
    },
  }
}

type Call = (...args: never[]) => Promise<unknown>

function reach(state: State, name: keyof Store, operation: StoreOperation): Call {
  const call = state.store[name] as Call
  return (...args) =>
    new Promise((resolve, reject) => {
      void travel(state, operation, () => call(...args), resolve, reject)
    })
}

async function travel(
  state: State,
  operation: StoreOperation,
  call: () => Promise<unknown>,
  resolve: (value: unknown) => void,
  reject: (error: unknown) => void,
): Promise<void> {
  const { timeline, owner } = state
  await arrive(state)
  if (timeline.now() < state.brokenUntil)
    return reject(new Error('simulated: the database is away'))
  if (!(await meets(state, operation, 'before', reject, call))) return
  const outcome = await call().then(
    (value) => () => resolve(value),
    (error: unknown) => () => reject(error),
  )
  await arrive(state)
  if (!(await meets(state, operation, 'after', reject, call))) return
  if (owner.alive) outcome()
}

/** The way to the database or back takes a moment. */
function arrive({ timeline, owner, random }: State, ms = 0): Promise<void> {
  return new Promise((resolve) => {
    timeline.after(owner, ms + random.next() * MAX_LATENCY_MS, resolve)
  })
}

/** What goes wrong here. Whether the operation goes on. */
async function meets(
  state: State,
  operation: StoreOperation,
  when: 'before' | 'after',
  reject: (error: unknown) => void,
  call: () => Promise<unknown>,
): Promise<boolean> {
  const at = state.faults.findIndex((fault) => fault.operation === operation && fault.when === when)
  const [fault] = at === -1 ? [] : state.faults.splice(at, 1)
  if (fault === undefined) return true
  state.onHit(fault.kind, operation, when)
  if (fault.kind === 'slow') {
    await arrive(state, state.random.next() * MAX_SLOW_MS)
    return true
  }
  if ('ms' in fault && fault.ms !== null) {
    state.timeline.after(WIRE, fault.ms, () => void call().catch(() => {}))
  }
  if (fault.kind === 'crash') state.crash()
  else if (fault.kind !== 'silent') reject(new Error(`simulated: error ${when} ${operation}`))
  return false
}
