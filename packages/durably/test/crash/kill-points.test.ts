import { expect, test } from 'vitest'
import type { Driver } from './places.ts'
import { torment } from './torment.ts'

const drivers: readonly Driver[] = ['better-sqlite3', 'libsql', 'postgres']

test.each(drivers)(
  '%s: no promise is broken by workers that end at a write, a commit or a step',
  async (driver) => {
    const { kills, violations } = await torment({
      driver,
      kills: 5,
      workers: 4,
      random: Math.random,
    })
    expect(violations).toEqual([])
    expect(kills).toBeGreaterThanOrEqual(5)
  },
  90_000,
)
