import type { Plan } from './plan.ts'
import { simulate } from './simulate.ts'

const MAX_TRIES = 300

/** The shortest history found that still breaks a promise: whatever can be left out is left out. */
export async function shrink(plan: Plan): Promise<Plan> {
  let shortest = plan
  let tries = 0
  const fails = async (candidate: Plan): Promise<boolean> => {
    tries++
    const { violations } = await simulate(candidate)
    if (violations.length > 0) shortest = candidate
    return violations.length > 0
  }
  for (let smaller = true; smaller && tries < MAX_TRIES; ) {
    smaller = false
    for (const candidate of withoutOne(shortest)) {
      if (tries >= MAX_TRIES) break
      if (await fails(candidate)) {
        smaller = true
        break
      }
    }
  }
  return shortest
}

function* withoutOne(plan: Plan): Generator<Plan> {
  const { faults, actions } = plan
  for (const fault of faults) yield { ...plan, faults: faults.filter((other) => other !== fault) }
  for (const action of actions) {
    yield { ...plan, actions: actions.filter((other) => other !== action) }
  }
}
