import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createDurably } from '../../src/index.ts'
import { startCrew } from './crew.ts'
import {
  countExecutions,
  executedAfterAcknowledged,
  interleaved,
  readEffects,
  type Effect,
} from './effects.ts'
import { createRecordedJob, outputOf, signalAll, STEPS } from './job.ts'
import { createPlace, dialectAt, drivers, type Driver } from './places.ts'

const WORKERS = 3

describe.each(drivers)('%s, several processes', (driver) => {
  test('each step of a hundred runs has its effect exactly once, and no worker starves', async () => {
    const { effects, runIds } = await runAll({ driver, runs: 100, kills: 0 })

    const counts = countExecutions(effects)
    expect(counts.size).toBe(runIds.length * STEPS)
    expect([...counts.values()].filter((count) => count !== 1)).toEqual([])
    const perWorker = Map.groupBy(effects, ({ worker }) => worker)
    const least = Math.min(...[...perWorker.values()].map(({ length }) => length))
    expect(perWorker.size).toBe(WORKERS)
    expect(least).toBeGreaterThan(effects.length / WORKERS / 4)
  }, 60_000)

  test('runs survive workers that are killed at any moment, and keep what they had', async () => {
    const { effects, runIds } = await runAll({ driver, runs: 30, kills: 6 })

    const counts = countExecutions(effects)
    expect(counts.size).toBe(runIds.length * STEPS)
    expect(executedAfterAcknowledged(effects)).toEqual([])
  }, 90_000)
})

/** Triggers the runs, half of them under one of two keys, and waits for them all while workers are killed. */
async function runAll(plan: {
  readonly driver: Driver
  readonly runs: number
  readonly kills: number
}): Promise<{ effects: Effect[]; runIds: string[] }> {
  const place = await createPlace(plan.driver)
  const folder = mkdtempSync(join(tmpdir(), 'durably-effects-'))
  const effectsFile = join(folder, 'effects')
  writeFileSync(effectsFile, '')
  const durably = createDurably({
    dialect: await dialectAt(place),
    jobs: { recorded: createRecordedJob(effectsFile) },
  })
  await durably.migrate()
  const crew = await startCrew(WORKERS, place, effectsFile)
  onTestFinished(async () => {
    await crew.dismiss()
    await durably.close()
    await place.remove()
    rmSync(folder, { recursive: true, force: true })
  })

  const runs = await durably.jobs.recorded.batchTrigger(
    Array.from({ length: plan.runs }, (_, i) => ({
      input: {},
      ...(i % 4 < 2 ? {} : { options: { concurrencyKey: `key ${i % 4}` } }),
    })),
  )
  const ids = runs.map(({ id }) => id)
  const signalled = signalAll(durably, ids, 1000)
  for (let i = 0; i < plan.kills; i++) {
    await sleep(50 + Math.random() * 200)
    await crew.killOne(Math.random)
  }
  await signalled
  const done = await Promise.all(runs.map(({ id }) => durably.waitForRun(id, { timeout: '60s' })))

  const effects = readEffects(effectsFile)
  for (const key of ['key 2', 'key 3']) {
    const ofKey = runs.filter(({ concurrencyKey }) => concurrencyKey === key)
    expect(interleaved(effects, new Set(ofKey.map(({ id }) => id)))).toEqual([])
  }
  expect(done.map(({ output }) => output)).toEqual(ids.map(outputOf))
  return { effects, runIds: ids }
}
