import type { Random } from './random.ts'

/** A part of a generated job. */
export type Part =
  | { readonly kind: 'step' | 'caught' | 'nested'; readonly name: string; readonly ms: number }
  | { readonly kind: 'fails'; readonly name: string; readonly times: number }
  | { readonly kind: 'all' | 'race'; readonly names: readonly string[]; readonly ms: number }
  | { readonly kind: 'many'; readonly name: string; readonly count: number }
  /** The database refuses what the step returns. */
  | { readonly kind: 'refused'; readonly name: string }
  | { readonly kind: 'sleep' | 'any' | 'mixed' | 'run'; readonly name: string; readonly ms: number }
  /** Without `ms` it waits as long as it takes. */
  | { readonly kind: 'token'; readonly name: string; readonly ms: number | null }
  /** `soon`: so long after it began to wait someone sends it a signal, at the time at which it would be parked. */
  | {
      readonly kind: 'signal'
      readonly name: string
      readonly ms: number | null
      readonly soon: number | null
    }
  /** Its first attempts take longer than they may. */
  | { readonly kind: 'late'; readonly name: string; readonly times: number; readonly ms: number }
  /** It streams so many chunks. */
  | { readonly kind: 'chunks'; readonly name: string; readonly count: number }
  /** Its first attempts fail, with a delay after each. */
  | { readonly kind: 'retry'; readonly name: string; readonly times: number; readonly ms: number }
  /** Parts one after the other, or at once: until the first fails, until one is over, or until all are. */
  | {
      readonly kind: 'woven'
      readonly how: 'series' | 'all' | 'race' | 'settled'
      readonly parts: readonly Part[]
    }

export interface JobPlan {
  readonly name: string
  readonly parts: readonly Part[]
  /** How long its runs may take, in milliseconds; absent: any time. */
  readonly maxDuration?: number
}

export interface TriggerPlan {
  readonly job: string
  readonly idempotencyKey?: string
  readonly concurrencyKey?: string
  readonly priority?: number
  readonly delay?: number
  readonly ttl?: number
  readonly coalesce?: 'skip'
}

/** Something that someone does to the system. `who` picks the process, `which` the run, as chance would. */
export type Action = { readonly at: number; readonly who: number } & (
  | { readonly kind: 'trigger'; readonly trigger: TriggerPlan }
  | { readonly kind: 'batch'; readonly triggers: readonly TriggerPlan[] }
  | { readonly kind: 'cancel' | 'retry' | 'delete' | 'cancelThenRetry'; readonly which: number }
  | { readonly kind: 'pause' | 'resume'; readonly job: string }
  | { readonly kind: 'purge' }
  | { readonly kind: 'signal'; readonly which: number; readonly name: SignalName }
  | { readonly kind: 'wake' | 'complete'; readonly which: number }
)

const signalNames = ['go', 'stop'] as const
type SignalName = (typeof signalNames)[number]

/** What faults can meet. */
export const storeOperations = [
  'write',
  'look',
  'promote',
  'reclaim',
  'renew',
  'leases',
  'act',
  'run',
  'journal',
  'mailbox',
  'watch',
] as const
export type StoreOperation = (typeof storeOperations)[number]

/** Something that goes wrong. */
export type Fault = { readonly at: number; readonly who: number } & (
  | {
      /** With the next such operation of the process, before it took place or after. */
      readonly kind: 'crash' | 'error' | 'slow'
      readonly operation: StoreOperation
      readonly when: 'before' | 'after'
    }
  | {
      /**
       * Said to have failed (`late`), or not answered at all (`silent`), and done nevertheless so many milliseconds
       * later; null: never.
       */
      readonly kind: 'late' | 'silent'
      readonly operation: StoreOperation
      readonly when: 'before'
      readonly ms: number | null
    }
  | { readonly kind: 'kill' | 'drain' | 'release' }
  | { readonly kind: 'freeze' | 'outage'; readonly ms: number }
  | { readonly kind: 'clock'; readonly ms: number }
  | { readonly kind: 'wakeups'; readonly ms: number; readonly how: 'lost' | 'late' | 'twice' }
)

/** Everything about a simulation that its seed decides beforehand. */
export interface Plan {
  readonly seed: number
  readonly store: 'memory' | 'sql'
  readonly workers: number
  readonly slots: number
  readonly leaseMs: number
  /** What happens, happens within this time; then the system is left in peace. */
  readonly horizonMs: number
  readonly jobs: readonly JobPlan[]
  readonly actions: readonly Action[]
  readonly faults: readonly Fault[]
}

export const HORIZON_MS = 12_000

const KEYS = ['red', 'blue'] as const
const OPERATIONS: readonly [StoreOperation, ...StoreOperation[]] = [
  'write',
  'write',
  // Those of waits have faults of their own.
  ...storeOperations.filter((operation) => operation !== 'mailbox' && operation !== 'watch'),
]

export function createPlan(seed: number, random: Random): Plan {
  const jobs = [0, 1, 2].map((i) => planJob(`job-${i}`, random))
  const actions = Array.from({ length: 16 + random.int(8) }, (_, i) => planAction(i, random))
  const faults = Array.from({ length: 6 + random.int(10) }, () => planFault(random))
  const waits = planWaits(random.fork('waits'))
  const limited = planLimited(random.fork('limits'))
  return {
    seed,
    store: seed % 2 === 0 ? 'memory' : 'sql',
    workers: 2 + random.int(2),
    slots: 1 + random.int(3),
    leaseMs: 2500,
    horizonMs: HORIZON_MS,
    jobs: [...jobs, waits.job, limited.job],
    actions: [...actions, ...waits.actions, ...limited.actions],
    faults: [
      ...faults,
      ...waits.faults,
      ...planWatchFaults(random.fork('watch faults')),
      planSlowRead(random.fork('slow read')),
    ],
  }
}

/** From a source of its own: plans of seeds that failed once stay what they were. */
function planWaits(random: Random): Pick<Plan, 'actions' | 'faults'> & { readonly job: JobPlan } {
  const parts = Array.from({ length: 2 + random.int(4) }, (_, i) => planWait(`w${i}`, random))
  const triggers = Array.from({ length: 2 + random.int(3) }, (): Action => {
    const trigger = { ...planTrigger(random), job: WAITING_JOB }
    return { kind: 'trigger', at: random.int(HORIZON_MS / 3), who: random.next(), trigger }
  })
  const mail = Array.from({ length: 4 + random.int(10) }, () => planMail(random))
  const faults = Array.from({ length: random.int(4) }, (): Fault => {
    const operation = random.pick(['mailbox', 'watch', 'write', 'act', 'promote'])
    const kind = random.pick(['crash', 'crash', 'error', 'slow'])
    const when = random.pick(['before', 'after'])
    return { kind, at: random.int(HORIZON_MS), who: random.next(), operation, when }
  })
  return { job: { name: WAITING_JOB, parts }, actions: [...triggers, ...mail], faults }
}

/** Runs that may not take long, and steps of which no attempt may. */
function planLimited(random: Random): Pick<Plan, 'actions'> & { readonly job: JobPlan } {
  const name = 'limited'
  const parts = Array.from({ length: 2 + random.int(2) }, (_, i): Part => {
    const part = `l${i}`
    return random.pick<Part>([
      { kind: 'late', name: part, times: 1 + random.int(2), ms: 20 + random.int(100) },
      { kind: 'chunks', name: part, count: 1 + random.int(20) },
      { kind: 'sleep', name: part, ms: random.int(1500) },
    ])
  })
  const actions = Array.from({ length: 1 + random.int(2) }, (): Action => {
    const trigger = { ...planTrigger(random), job: name }
    return { kind: 'trigger', at: random.int(HORIZON_MS / 2), who: random.next(), trigger }
  })
  const isShort = random.chance(0.5)
  return {
    job: { name, parts, ...(isShort ? { maxDuration: 200 + random.int(2000) } : {}) },
    actions,
  }
}

/** Runs are watched so seldom that chance alone would miss it. */
function planWatchFaults(random: Random): Fault[] {
  return (['crash', 'error', 'slow'] as const).map((kind) => {
    const when = random.pick(['before', 'after'])
    return { kind, at: random.int(HORIZON_MS / 3), who: random.next(), operation: 'watch', when }
  })
}

/** A run is read on its own so seldom that chance alone would miss it. */
function planSlowRead(random: Random): Fault {
  const when = random.pick(['before', 'after'])
  return {
    kind: 'slow',
    at: random.int(HORIZON_MS / 3),
    who: random.next(),
    operation: 'run',
    when,
  }
}

export const WAITING_JOB = 'waiting'

function planWait(name: string, random: Random): Part {
  const kind = random.pick([
    'sleep',
    'signal',
    'signal',
    'token',
    'any',
    'mixed',
    'retry',
    'run',
    'step',
  ])
  const ms = random.chance(0.3) ? 1000 + random.int(3000) : random.int(200)
  switch (kind) {
    case 'token':
      return { kind, name, ms: random.chance(0.5) ? null : ms }
    case 'signal': {
      const soon = random.chance(0.5) ? random.int(12) : null
      return { kind, name, ms: random.chance(0.5) ? null : ms, soon }
    }
    case 'retry':
      return { kind, name, times: 1 + random.int(3), ms }
    default:
      return { kind, name, ms }
  }
}

function planMail(random: Random): Action {
  const at = random.int(HORIZON_MS)
  const who = random.next()
  const which = random.next()
  const kind = random.pick(['signal', 'signal', 'signal', 'complete', 'wake'])
  return kind === 'signal'
    ? { kind, at, who, which, name: random.pick(signalNames) }
    : { kind, at, who, which }
}

function planJob(name: string, random: Random): JobPlan {
  const parts = Array.from({ length: 2 + random.int(3) }, (_, i) => planPart(`p${i}`, random))
  return { name, parts }
}

function planPart(name: string, random: Random): Part {
  const kind = random.pick([
    'step',
    'step',
    'caught',
    'nested',
    'fails',
    'all',
    'all',
    'race',
    'many',
    'refused',
  ])
  const ms = random.chance(0.1) ? 2000 + random.int(3000) : random.int(40)
  switch (kind) {
    case 'fails':
      return { kind, name, times: random.chance(0.2) ? 99 : 1 + random.int(2) }
    case 'all':
    case 'race':
      return {
        kind,
        names: ['a', 'b', 'c'].slice(0, 2 + random.int(2)).map((n) => `${name}${n}`),
        ms,
      }
    case 'many':
      return { kind, name, count: 5 + random.int(15) }
    case 'refused':
      return { kind, name }
    default:
      return { kind, name, ms }
  }
}

function planTrigger(random: Random): TriggerPlan {
  const concurrencyKey = random.chance(0.5) ? random.pick(KEYS) : undefined
  return {
    job: `job-${random.int(3)}`,
    ...(random.chance(0.3) ? { idempotencyKey: `key-${random.int(4)}` } : {}),
    ...(concurrencyKey === undefined ? {} : { concurrencyKey }),
    ...(random.chance(0.2) ? { priority: random.int(5) - 2 } : {}),
    ...(random.chance(0.2) ? { delay: random.int(3000) } : {}),
    ...(random.chance(0.1) ? { ttl: 200 + random.int(3000) } : {}),
    ...(concurrencyKey !== undefined && random.chance(0.2) ? { coalesce: 'skip' } : {}),
  }
}

function planAction(i: number, random: Random): Action {
  const at = random.int(HORIZON_MS)
  const who = random.next()
  // The first ones see to it that there is something to act on.
  if (i < 8)
    return { kind: 'trigger', at: random.int(HORIZON_MS / 3), who, trigger: planTrigger(random) }
  const kind = random.pick([
    'trigger',
    'trigger',
    'batch',
    'cancel',
    'retry',
    'retry',
    'delete',
    'cancelThenRetry',
    'pause',
    'resume',
    'purge',
  ])
  switch (kind) {
    case 'trigger':
      return { kind, at, who, trigger: planTrigger(random) }
    case 'batch':
      return { kind, at, who, triggers: [0, 1, 2].map(() => planTrigger(random)) }
    case 'pause':
    case 'resume':
      return { kind, at, who, job: `job-${random.int(3)}` }
    case 'purge':
      return { kind, at, who }
    default:
      return { kind, at, who, which: random.next() }
  }
}

function planFault(random: Random): Fault {
  const at = random.int(HORIZON_MS)
  const who = random.next()
  const kind = random.pick([
    'crash',
    'crash',
    'crash',
    'error',
    'error',
    'slow',
    'kill',
    'drain',
    'release',
    'freeze',
    'outage',
    'clock',
    'wakeups',
  ])
  switch (kind) {
    case 'crash':
    case 'error':
    case 'slow':
      return {
        kind,
        at,
        who,
        operation: random.pick(OPERATIONS),
        when: random.pick(['before', 'after']),
      }
    case 'freeze':
    case 'outage':
      return { kind, at, who, ms: 200 + random.int(6000) }
    case 'clock':
      return { kind, at, who, ms: random.int(4000) - 2000 }
    case 'wakeups':
      return { kind, at, who, ms: 3000, how: random.pick(['lost', 'late', 'twice']) }
    default:
      return { kind, at, who }
  }
}
