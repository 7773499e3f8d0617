import type { Outlook } from '../store.ts'
import { claimable } from './claim.ts'
import { nextPromotion } from './promote.ts'
import { areOrphans } from './reclaim.ts'
import type { Tables } from './tables.ts'

export function look(tables: Tables, jobs: readonly string[], now: number): Outlook {
  return {
    ready: claimable(tables, jobs, now).length > 0,
    nextDueAt: nextPromotion(tables),
    orphans: areOrphans(tables, now),
  }
}
