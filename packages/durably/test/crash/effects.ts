import { appendFileSync, readFileSync } from 'node:fs'

/** What happened outside the database, in the order in which it happened, whoever did it. */
export interface Effect {
  /** `execute`: a step's function began; `acknowledge`: its `step.run` resolved. */
  readonly kind: 'execute' | 'acknowledge'
  readonly run: string
  readonly step: string
  readonly worker: string
}

/** One short line, appended at once: processes do not cut into each other's lines. */
export function record(file: string, { kind, run, step, worker }: Effect): void {
  appendFileSync(file, `${kind} ${run} ${step} ${worker}\n`)
}

export function readEffects(file: string): Effect[] {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => {
    const [kind, run, step, worker] = line.split(' ') as [Effect['kind'], string, string, string]
    return { kind, run, step, worker }
  })
}

/** Steps that were executed once more after they had been acknowledged: there must be none. */
export function executedAfterAcknowledged(effects: readonly Effect[]): string[] {
  const acknowledged = new Set<string>()
  return effects.flatMap(({ kind, run, step }) => {
    const name = `${run} ${step}`
    if (kind === 'execute') return acknowledged.has(name) ? [name] : []
    acknowledged.add(name)
    return []
  })
}

/** How often each step was executed. */
export function countExecutions(effects: readonly Effect[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { kind, run, step } of effects) {
    if (kind === 'execute') counts.set(`${run} ${step}`, (counts.get(`${run} ${step}`) ?? 0) + 1)
  }
  return counts
}

/** Runs of which a step executed while another run's was not over: with one key there must be none. */
export function interleaved(effects: readonly Effect[], runs: ReadonlySet<string>): string[] {
  const over = new Set<string>()
  let current: string | null = null
  return effects.flatMap(({ kind, run }) => {
    if (kind !== 'execute' || !runs.has(run) || run === current) return []
    if (current !== null) over.add(current)
    current = run
    return over.has(run) ? [run] : []
  })
}
