import { createPlan, type Plan } from './plan.ts'
import { createRandom } from './random.ts'
import { createSilentPlan } from './silent.ts'
import { createWovenPlan } from './woven.ts'

/** What a seed plays: one in ten has woven jobs, and one in ten a database that is silent. */
export function planOf(seed: number): Plan {
  const random = createRandom(seed).fork('plan')
  // On either store.
  if (seed % 20 === 6 || seed % 20 === 11) return createSilentPlan(seed, random)
  return seed % 10 === 9 ? createWovenPlan(seed, random) : createPlan(seed, random)
}
