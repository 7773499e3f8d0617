import { describe, expect, test } from 'vitest'
import { hunt } from './campaign.ts'
import { mutants, shortages } from './mutants.ts'

const SEEDS_SHORT = 150

describe('the engine keeps its promises, simulated, when', () => {
  test.each(shortages)(
    '$name',
    async (shortage) => {
      expect(await hunt(shortage, 1, SEEDS_SHORT)).toBeNull()
    },
    300_000,
  )
})

describe('the simulation notices that', () => {
  test.each(mutants)(
    '$name',
    async (mutant) => {
      expect(await hunt(mutant, 1)).not.toBeNull()
    },
    300_000,
  )
})
