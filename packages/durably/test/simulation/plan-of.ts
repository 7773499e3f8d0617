import { createPlan, type Plan } from './plan.ts'
import { createRandom } from './random.ts'
import { createWovenPlan } from './woven.ts'

/** What a seed plays: one in ten has woven jobs. */
export function planOf(seed: number): Plan {
  const random = createRandom(seed).fork('plan')
  return seed % 10 === 9 ? createWovenPlan(seed, random) : createPlan(seed, random)
}
