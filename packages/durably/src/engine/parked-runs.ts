import type { Parked } from './execution.ts'

/** The code of parked runs, which waits in memory to go on without a replay. */
export interface ParkedRuns {
  /** Instead of that which was left alone for longest, if there are too many. */
  keep(runId: string, code: Parked): void
  take(runId: string): Parked | undefined
  /** The code does not go on. */
  drop(runId: string): void
  dropAll(): void
}

const MAX_PARKED = 1000

export function createParkedRuns(): ParkedRuns {
  // The one that was parked last is at the end.
  const parked = new Map<string, Parked>()

  function drop(runId: string): void {
    parked.get(runId)?.drop()
    parked.delete(runId)
  }

  return {
    keep(runId, code) {
      parked.set(runId, code)
      const [oldest] = parked.keys()
      if (parked.size > MAX_PARKED && oldest !== undefined) drop(oldest)
    },
    take(runId) {
      const code = parked.get(runId)
      parked.delete(runId)
      return code
    },
    drop,
    dropAll: () => [...parked.keys()].forEach(drop),
  }
}
