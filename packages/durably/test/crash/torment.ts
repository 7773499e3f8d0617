import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDurably } from '../../src/index.ts'
import { startCrew } from './crew.ts'
import { countExecutions, executedAfterAcknowledged, interleaved, readEffects } from './effects.ts'
import { createRecordedJob, outputOf, signalAll, STEPS } from './job.ts'
import { pickKillPoint } from './kill-points.ts'
import { createPlace, dialectAt, type Driver } from './places.ts'

export interface Torment {
  readonly driver: Driver
  /** Workers that end themselves, in all. */
  readonly kills: number
  /** Processes at once. */
  readonly workers: number
  readonly random: () => number
}

export interface Tormented {
  readonly kills: number
  readonly runs: number
  /** Promises that were broken. */
  readonly violations: readonly string[]
}

const BATCH = 24
const SIGNALS_WITHIN_MS = 200
const PATIENCE = '60s'

/** Triggers runs for workers that end themselves at points of their choice, until enough of them did. */
export async function torment({ driver, kills, workers, random }: Torment): Promise<Tormented> {
  const place = await createPlace(driver)
  const folder = mkdtempSync(join(tmpdir(), 'durably-effects-'))
  const effectsFile = join(folder, 'effects')
  writeFileSync(effectsFile, '')
  const durably = createDurably({
    dialect: await dialectAt(place),
    jobs: { recorded: createRecordedJob(effectsFile) },
  })
  await durably.migrate()
  const crew = await startCrew(workers, place, effectsFile, {
    nextPoint: () => pickKillPoint(random),
  })
  const violations: string[] = []
  let runs = 0
  try {
    while (crew.kills() < kills && violations.length === 0) {
      const batch = await durably.jobs.recorded.batchTrigger(Array.from({ length: BATCH }, itemOf))
      runs += batch.length
      await signalAll(
        durably,
        batch.map(({ id }) => id),
        SIGNALS_WITHIN_MS,
      )
      const ends = await Promise.allSettled(
        batch.map(({ id }) => durably.waitForRun(id, { timeout: PATIENCE })),
      )
      violations.push(
        ...ends.flatMap((end) => {
          if (end.status === 'rejected') return [String(end.reason)]
          const { id, output } = end.value
          return output === outputOf(id) ? [] : [`${id} returned ${String(output)}`]
        }),
        ...(await brokenBy(batch, effectsFile)),
      )
    }
    return { kills: crew.kills(), runs, violations }
  } finally {
    await crew.dismiss()
    await durably.close()
    await place.remove()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Half of them under one of two keys. */
function itemOf(_: unknown, i: number) {
  return { input: {}, ...(i % 4 < 2 ? {} : { options: { concurrencyKey: `key ${i % 4}` } }) }
}

async function brokenBy(
  batch: readonly { readonly id: string; readonly concurrencyKey: string | null }[],
  effectsFile: string,
): Promise<string[]> {
  const ids = new Set(batch.map(({ id }) => id))
  const effects = readEffects(effectsFile).filter(({ run }) => ids.has(run))
  const executed = countExecutions(effects).size
  const keyed = Map.groupBy(batch, ({ concurrencyKey }) => concurrencyKey)
  keyed.delete(null)
  return [
    ...(executed === batch.length * STEPS ? [] : [`${executed} steps were executed`]),
    ...executedAfterAcknowledged(effects).map((step) => `executed once more: ${step}`),
    ...[...keyed.values()].flatMap((runs) =>
      interleaved(effects, new Set(runs.map(({ id }) => id))).map((run) => `overtaken: ${run}`),
    ),
  ]
}
