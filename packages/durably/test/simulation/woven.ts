import { createPlan, HORIZON_MS, type Action, type Fault, type Part, type Plan } from './plan.ts'
import type { Random } from './random.ts'

const JOBS = 3

/**
 * A plan whose jobs have many calls under way at once, in each other's races, and fail between them; whose runs are
 * retried and replayed again and again. Replays must tell all of it as it was told the first time.
 */
export function createWovenPlan(seed: number, random: Random): Plan {
  const plan = createPlan(seed, random)
  const jobs = Array.from({ length: JOBS }, (_, i) => {
    const leaf = createLeaves(random)
    return { name: `job-${i}`, parts: [weave(3, leaf, random), weave(2, leaf, random)] }
  })
  const triggers = Array.from({ length: 8 }, (): Action => {
    const trigger = { job: `job-${random.int(JOBS)}` }
    return { kind: 'trigger', at: random.int(HORIZON_MS / 4), who: random.next(), trigger }
  })
  const acts = Array.from({ length: 20 }, () => planAct(random))
  const faults = [...plan.faults, ...Array.from({ length: 15 }, () => planFault(random))]
  return { ...plan, jobs, actions: [...triggers, ...acts], faults }
}

function weave(depth: number, leaf: () => Part, random: Random): Part {
  if (depth === 0 || random.chance(0.25)) return leaf()
  const how = random.pick(['series', 'series', 'all', 'race', 'settled'])
  const parts = Array.from({ length: 2 + random.int(2) }, () => weave(depth - 1, leaf, random))
  return { kind: 'woven', how, parts }
}

/** Each has a name of its own. */
function createLeaves(random: Random): () => Part {
  let made = 0
  return () => {
    const name = `n${made++}`
    const ms = random.chance(0.3) ? 0 : random.int(random.chance(0.2) ? 3000 : 60)
    return random.pick<Part>([
      { kind: 'step', name, ms },
      { kind: 'step', name, ms },
      { kind: 'nested', name, ms },
      { kind: 'caught', name, ms },
      { kind: 'refused', name },
      { kind: 'fails', name, times: 1 },
      { kind: 'retry', name, times: 2, ms },
      { kind: 'late', name, times: 1, ms: 1 + ms },
      { kind: 'sleep', name, ms },
      { kind: 'any', name, ms },
    ])
  }
}

function planAct(random: Random): Action {
  const chosen = { at: random.int(HORIZON_MS), who: random.next(), which: random.next() }
  const kind = random.pick(['cancelThenRetry', 'cancelThenRetry', 'retry', 'signal', 'signal'])
  return kind === 'signal'
    ? { kind, ...chosen, name: random.pick(['go', 'stop']) }
    : { kind, ...chosen }
}

function planFault(random: Random): Fault {
  const chosen = { at: random.int(HORIZON_MS), who: random.next() }
  const kind = random.pick(['crash', 'crash', 'crash', 'error', 'kill', 'release'])
  if (kind === 'kill' || kind === 'release') return { kind, ...chosen }
  const operation = random.pick(['write', 'write', 'write', 'look', 'journal'])
  return { kind, ...chosen, operation, when: random.pick(['before', 'after']) }
}
