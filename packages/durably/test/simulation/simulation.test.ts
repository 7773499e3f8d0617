import { describe, expect, test } from 'vitest'
import { ENOUGH_SEEDS, LEAST_HITS, simulateSeeds } from './campaign.ts'
import { metTooSeldom } from './coverage.ts'
import { planOf } from './plan-of.ts'
import { simulate } from './simulate.ts'

// Seeds that broke a promise once. The workload grew since the first three: they play other plans now.
const KNOWN_SEEDS = [197, 2270, 1358, 1013, 300_273, 609_434, 974_407, 710_024]

// The tests are to be over within minutes on a slow machine too: there fewer of the seeds are played.
const SEEDS_MS = 70_000
const LEAST_SEEDS = 1500

describe('the engine, simulated', () => {
  test('keeps its promises whatever fails, in an order that chance decides', async ({
    annotate,
  }) => {
    const until = Date.now() + SEEDS_MS
    const { failedSeed, played, hits } = await simulateSeeds(1, ENOUGH_SEEDS, until)
    await annotate(`${played} seeds were played`)
    expect(failedSeed, 'npm run simulate -- --seeds 1 --seed <this> explains it').toBeNull()
    expect(played).toBeGreaterThanOrEqual(LEAST_SEEDS)
    const least = played === ENOUGH_SEEDS ? LEAST_HITS : 1
    expect(metTooSeldom(new Map(hits), least)).toEqual([])
  }, 400_000)

  test.each(KNOWN_SEEDS)('keeps them with seed %i, with which it once did not', async (seed) => {
    expect((await simulate(planOf(seed))).violations).toEqual([])
  })

  test('goes the same way each time with the same seed', async () => {
    const [one, two] = [await simulate(planOf(5)), await simulate(planOf(5))]
    expect(one).toEqual(two)
    expect(one.runs).toBeGreaterThan(5)
  })
})
