import { expect, test } from 'vitest'
import { crowd } from './crowd.ts'
import type { Driver } from './places.ts'

const drivers: readonly Driver[] = [
  'better-sqlite3',
  'drop-in',
  'node:sqlite',
  'libsql',
  'postgres',
  'postgres-drop-in',
]

test.each(drivers)(
  '%s: nothing impossible is seen while clients of three processes do all that they can',
  async (driver) => {
    const { effects, violations } = await crowd(driver, 4000)
    expect(violations).toEqual([])
    expect(effects).toBeGreaterThan(100)
  },
  120_000,
)
