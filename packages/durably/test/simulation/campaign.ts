import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import type { Mutant } from './mutants.ts'
import type { Range, Report } from './seeds-process.ts'

/** The least seeds for which each fault must have met each operation `LEAST_HITS` times. */
export const ENOUGH_SEEDS = 10_000
export const LEAST_HITS = 50

const MUTANT_SEEDS = 2000
// Processes are told by JSON, which has no infinity.
const NEVER = Number.MAX_SAFE_INTEGER

/** Simulates `count` seeds from `first` on, on all cores; fewer when that takes until after `until`. */
export async function simulateSeeds(first: number, count: number, until = NEVER): Promise<Report> {
  const processes = Math.min(availableParallelism(), count)
  const share = Math.ceil(count / processes)
  const reports = await Promise.all(
    Array.from({ length: processes }, (_, i) => {
      const from = i * share
      const range = { first: first + from, count: Math.min(share, count - from), until }
      return inProcess(range, null)
    }),
  )
  const hits = new Map<string, number>()
  for (const [cell, n] of reports.flatMap((report) => report.hits)) {
    hits.set(cell, (hits.get(cell) ?? 0) + n)
  }
  const failedSeed = reports.find((report) => report.failedSeed !== null)?.failedSeed ?? null
  const played = reports.reduce((sum, report) => sum + report.played, 0)
  return { failedSeed, played, hits: [...hits] }
}

/** The seed that notices what the mutant breaks; null when none does. */
export async function hunt(
  { name }: Mutant,
  first: number,
  count = MUTANT_SEEDS,
): Promise<number | null> {
  const { failedSeed } = await inProcess({ first, count, until: NEVER }, name)
  return failedSeed
}

/** Does `work` for each, as many at once as there are cores. */
export async function onAllCores<T>(
  all: readonly T[],
  work: (one: T) => Promise<void>,
): Promise<void> {
  const waiting = [...all]
  const worker = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await work(one)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
}

/** A process of its own, whose sources are those of the mutant. */
function inProcess(range: Range, mutant: string | null): Promise<Report> {
  const execArgv = mutant === null ? [] : ['--import', new URL('mutate.ts', import.meta.url).href]
  const env = { ...process.env, ...(mutant === null ? {} : { DURABLY_MUTANT: mutant }) }
  const child = fork(new URL('seeds-process.ts', import.meta.url), { execArgv, env })
  return new Promise((resolve, reject) => {
    child.once('message', (report) => resolve(report as Report))
    child.once('exit', (code) => reject(new Error(`a simulation ended with ${code} and no report`)))
    child.send(range)
  })
}
