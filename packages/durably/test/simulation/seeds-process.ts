import { planOf } from './plan-of.ts'
import { simulate } from './simulate.ts'

/** So many seeds from `first` on. */
export interface Range {
  readonly first: number
  readonly count: number
  /** No seed begins after this time. */
  readonly until: number
}

export interface Report {
  /** The first seed that broke a promise. */
  readonly failedSeed: number | null
  readonly played: number
  readonly hits: readonly (readonly [cell: string, count: number])[]
}

// Most errors are simulated, and a seed that fails is explained by another process.
Error.stackTraceLimit = 0

// A share of the seeds in a process of its own, told by a message and answered by one.
process.once('message', (range: Range) => {
  void play(range).then((report) => process.send?.(report, () => process.disconnect()))
})

async function play({ first, count, until }: Range): Promise<Report> {
  const hits = new Map<string, number>()
  let played = 0
  while (played < count && Date.now() < until) {
    const seed = first + played++
    const outcome = await simulate(planOf(seed)).catch((error: unknown) => ({
      violations: [String(error)],
      hits: new Map<string, number>(),
    }))
    for (const [cell, n] of outcome.hits) hits.set(cell, (hits.get(cell) ?? 0) + n)
    if (outcome.violations.length > 0) return { failedSeed: seed, played, hits: [...hits] }
  }
  return { failedSeed: null, played, hits: [...hits] }
}
