/** Something to time: does `count` units of work. */
export type Work = (count: number) => Promise<void>

/** Units per second of one block of work. */
async function rateOf(work: Work, count: number): Promise<number> {
  const startedAt = performance.now()
  await work(count)
  return (count / (performance.now() - startedAt)) * 1000
}

export interface Ratio {
  /** Units per second, medians over the rounds. */
  readonly ours: number
  readonly raw: number
  /** Median of the ratios of each round: what the machine does meanwhile hits both sides of one. */
  readonly ratio: number
}

const ROUNDS = 7

// It takes some ten thousand steps until what runs for each of them is compiled for good.
const WARM_UP_MS = 2000

async function warmUp({ work, count }: Timed): Promise<void> {
  const startedAt = performance.now()
  do await work(count)
  while (performance.now() - startedAt < WARM_UP_MS)
}

/** Work, and how many units of it make one block. */
export interface Timed {
  readonly work: Work
  readonly count: number
}

/** Times ours and the raw control in turns, in the same run. */
export async function compare(ours: Timed, raw: Timed): Promise<Ratio> {
  await warmUp(ours)
  await warmUp(raw)
  const rounds: { ours: number; raw: number }[] = []
  for (let i = 0; i < ROUNDS; i++) {
    const rawRate = await rateOf(raw.work, raw.count)
    rounds.push({ raw: rawRate, ours: await rateOf(ours.work, ours.count) })
  }
  return {
    ours: median(rounds.map((round) => round.ours)),
    raw: median(rounds.map((round) => round.raw)),
    ratio: median(rounds.map((round) => round.ours / round.raw)),
  }
}

/** Milliseconds that each of `count` calls took. */
export async function timesOf(call: () => Promise<void>, count: number): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const startedAt = performance.now()
    await call()
    times.push(performance.now() - startedAt)
  }
  return times
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
