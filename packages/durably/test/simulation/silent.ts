import {
  createPlan,
  HORIZON_MS,
  storeOperations,
  type Action,
  type Fault,
  type Plan,
  type StoreOperation,
} from './plan.ts'
import type { Random } from './random.ts'

/** What is given up is sent again within a lease. */
const LEASE_MS = 40_000
const TIMES_SLOWER = 7

const OPERATIONS: readonly [StoreOperation, ...StoreOperation[]] = [
  'write',
  'write',
  'write',
  'write',
  'write',
  ...storeOperations,
]

/** They come so seldom that chance alone would miss them. */
const RARE = ['run', 'watch', 'watch', 'watch', 'reclaim', 'reclaim', 'reclaim', 'reclaim'] as const
const SOON_MS = (HORIZON_MS * TIMES_SLOWER) / 3

/**
 * A plan in which operations are not answered, or said to have failed, and take place later or never: when others were
 * sent in their place long since, or who sent them has gone.
 */
export function createSilentPlan(seed: number, random: Random): Plan {
  const plan = createPlan(seed, random)
  const faults = plan.faults.map(slower)
  return {
    ...plan,
    leaseMs: LEASE_MS,
    horizonMs: HORIZON_MS * TIMES_SLOWER,
    // What arrives after its run was deleted makes it anew.
    actions: plan.actions.filter(({ kind }) => kind !== 'delete' && kind !== 'purge').map(slower),
    faults: [
      ...faults.filter(() => random.chance(0.5)),
      ...Array.from({ length: 12 + random.int(8) }, () =>
        planSilence(random.pick(OPERATIONS), random),
      ),
      ...RARE.map((operation): Fault => {
        return { ...planSilence(operation, random), at: random.int(SOON_MS) }
      }),
      // Whom others take over from.
      ...Array.from({ length: 2 }, (): Fault => {
        return { kind: 'kill', at: random.int(SOON_MS), who: random.next() }
      }),
    ],
  }
}

function slower<T extends Action | Fault>(what: T): T {
  return { ...what, at: what.at * TIMES_SLOWER }
}

function planSilence(operation: StoreOperation, random: Random): Fault {
  const kind = random.pick(['late', 'silent'])
  const ms = random.chance(0.2) ? null : random.int(random.chance(0.5) ? 2000 : 40_000)
  const at = random.int(HORIZON_MS * TIMES_SLOWER)
  return { kind, at, who: random.next(), operation, when: 'before', ms }
}
