import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { activeStatuses } from '../../src/core/transitions.ts'
import { createDurably, type Instance } from '../../src/index.ts'
import { startCrew } from './crew.ts'
import { executedAfterAcknowledged, readEffects } from './effects.ts'
import { brokenInvariants } from './invariants.ts'
import { createPlace, dialectAt, type Driver } from './places.ts'

export interface Crowded {
  /** Executions of steps. */
  readonly effects: number
  /** Promises that were broken, and errors that nobody should have met. */
  readonly violations: readonly string[]
}

const script = new URL('crowd-process.ts', import.meta.url)
const PROCESSES = 3
const LOOK_EVERY_MS = 200
// Past a lease; but who is frozen may have the file's lock, for which others wait five seconds at most.
const LONGEST_FREEZE_MS = 1500
const PATIENCE_MS = 60_000

/**
 * Lets processes work, and their clients act at random, for so long, while some are killed or frozen past their
 * lease. What must hold at every moment is looked at all the while; in the end every run must end.
 */
export async function crowd(driver: Driver, ms: number): Promise<Crowded> {
  const place = await createPlace(driver)
  const folder = mkdtempSync(join(tmpdir(), 'durably-crowd-'))
  const effectsFile = join(folder, 'effects')
  writeFileSync(effectsFile, '')
  const durably = createDurably({ dialect: await dialectAt(place) })
  await durably.migrate()
  const crew = await startCrew(PROCESSES, place, effectsFile, { script })
  const violations: string[] = []
  let freezing: Promise<void> | null = null
  try {
    const until = Date.now() + ms
    while (Date.now() < until && violations.length === 0) {
      await sleep(LOOK_EVERY_MS)
      violations.push(...(await brokenInvariants(durably.db)))
      const fate = Math.random()
      if (fate < 0.15) await crew.killOne(Math.random)
      else if (fate < 0.25)
        freezing ??= crew.freezeOne(Math.random, Math.random() * LONGEST_FREEZE_MS).finally(() => {
          freezing = null
        })
    }
    await freezing
    crew.tell('rest')
    violations.push(...(await ends(durably)), ...(await brokenInvariants(durably.db)))
    const effects = readEffects(effectsFile)
    violations.push(
      ...executedAfterAcknowledged(effects).map((step) => `executed once more: ${step}`),
      // Whoever was frozen renews its lease too late, and says so.
      ...crew.errors.filter((error) => !error.includes('renewing the lease')),
    )
    return { effects: effects.length, violations }
  } finally {
    await crew.dismiss()
    await durably.close()
    await place.remove()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Resolves when no run is active any more; with those that still are after a long time. */
async function ends(durably: Instance): Promise<string[]> {
  const until = Date.now() + PATIENCE_MS
  for (;;) {
    await durably.resumeJob('flaky')
    const left = await durably.getRuns({ status: activeStatuses, limit: 10 })
    if (left.length === 0) return []
    if (Date.now() > until) return left.map(({ id, status }) => `${id} is still ${status}`)
    await sleep(LOOK_EVERY_MS)
  }
}
