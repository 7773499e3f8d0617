import { parseArgs } from 'node:util'
import { ENOUGH_SEEDS, hunt, LEAST_HITS, onAllCores, simulateSeeds } from './campaign.ts'
import { metTooSeldom, tabulate } from './coverage.ts'
import { mutants } from './mutants.ts'
import { planOf } from './plan-of.ts'
import { shrink } from './shrink.ts'
import { simulate } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    mutants: { type: 'boolean', default: false },
  },
})
const first = Number(values.seed)
process.exitCode = values.mutants ? await breakEngine() : await tryEngine(Number(values.seeds))

/** Simulates the seeds; explains the first that breaks a promise. */
async function tryEngine(count: number): Promise<number> {
  const startedAt = performance.now()
  const { failedSeed, hits } = await simulateSeeds(first, count)
  if (failedSeed !== null) {
    await explain(failedSeed)
    return 1
  }
  const least = count >= ENOUGH_SEEDS ? LEAST_HITS : 0
  const seldom = metTooSeldom(new Map(hits), least)
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  console.log(tabulate(new Map(hits), least).join('\n'))
  console.log(`${count} seeds from ${first} on, ${seconds} s: every promise held`)
  if (seldom.length > 0) console.log(`met too seldom: ${seldom.join(', ')}`)
  return seldom.length > 0 ? 1 : 0
}

async function explain(seed: number): Promise<void> {
  const plan = await shrink(planOf(seed))
  const { violations } = await simulate(plan)
  console.log(`seed ${seed} breaks a promise; again: npm run simulate -- --seeds 1 --seed ${seed}`)
  for (const violation of violations) console.log(`  ${violation}`)
  console.log('the shortest history found that does:')
  console.log(`  ${plan.store} store, ${plan.workers} workers with ${plan.slots} slots`)
  for (const part of [...plan.jobs, ...plan.actions, ...plan.faults]) {
    console.log(`  ${JSON.stringify(part)}`)
  }
}

/** Breaks the engine in every way that is known; the simulation must notice each. */
async function breakEngine(): Promise<number> {
  let caught = 0
  await onAllCores(mutants, async (mutant) => {
    const seed = await hunt(mutant, first)
    if (seed !== null) caught++
    console.log(
      `${mutant.name.padEnd(56)} ${seed === null ? 'SURVIVED' : `caught by seed ${seed}`}`,
    )
  })
  console.log(`${caught} of ${mutants.length} mutants caught`)
  return caught === mutants.length ? 0 : 1
}
