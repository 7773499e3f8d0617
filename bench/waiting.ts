import { setTimeout as sleep } from 'node:timers/promises'
import { createDurably, type Durably } from '@coji/durably'
import { sql } from 'kysely'
import type { Database } from './databases.ts'
import { nap, patient, waiting, whenFirstLine } from './jobs.ts'
import { ms, print, printTime } from './report.ts'
import { median, timesOf } from './rounds.ts'

const PARKED = Number(process.env['BENCH_PARKED'] ?? 100_000)
const WAKES = 200
const TIMERS = Number(process.env['BENCH_TIMERS'] ?? 10_000)
const STEPS = 10_000
const BATCH = 10_000
const SECOND_MS = 1000

/** Waking one run by a signal among very many that are parked. */
export async function measureWaking(database: Database): Promise<void> {
  const durably = createDurably({ dialect: database.dialect(), jobs: { waiting } })
  await durably.migrate()
  const { jobs, signal, getRuns } = durably
  for (let at = 0; at < PARKED; at += BATCH) {
    const count = Math.min(BATCH, PARKED - at)
    await jobs.waiting.batchTrigger(Array.from({ length: count }, (_, i) => ({ id: `${at + i}` })))
  }
  const worker = createDurably({
    dialect: database.dialect(),
    jobs: { waiting },
    maxConcurrentRuns: 1000,
  })
  await worker.processUntilIdle()
  await worker.close()
  await durably.init()
  const ids = (await getRuns({ status: 'waiting', limit: WAKES })).map(({ id }) => id)
  const commits: number[] = []
  const wakes: number[] = []
  for (const id of ids) {
    commits.push(...(await timesOf(() => database.rawCommits(1), 1)))
    const { promise, resolve } = Promise.withResolvers<void>()
    whenFirstLine(() => resolve())
    const startedAt = performance.now()
    const sent = signal(id, 'go')
    await promise
    wakes.push(performance.now() - startedAt)
    await sent
    await durably.waitForRun(id)
  }
  await durably.close()
  const raw = median(commits)
  show(
    `wake by signal, ${PARKED} parked, p50`,
    database,
    median(wakes),
    `raw ${ms(raw)}`,
    3 * raw + 1,
  )
}

/** Many timers that are due in the same second. */
export async function measureTimers(database: Database): Promise<void> {
  const durably = createDurably({
    dialect: database.dialect(),
    jobs: { nap },
    maxConcurrentRuns: 1000,
  })
  await durably.migrate()
  const until = Date.now() + TIMERS * 4 + 5000
  const runs = Array.from({ length: TIMERS }, (_, i) => ({ until: until + (i % SECOND_MS) }))
  await durably.jobs.nap.batchTrigger(runs)
  await durably.processUntilIdle()
  const asleep = await count(durably, 'waiting')
  await durably.init()
  if (Date.now() >= until) throw new Error('Not all runs were parked before the first was due')
  await sleep(until + SECOND_MS - Date.now())
  // A look at a time: a driver that answers at once would leave the worker no turn.
  while ((await count(durably, 'waiting')) > 0) await sleep(10)
  const late = Date.now() - until - SECOND_MS
  await durably.close()
  show(`${asleep} timers in a second, last one`, database, late, '', SECOND_MS)
}

async function count({ db }: Pick<Durably, 'db'>, status: string): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from durably_runs where status = ${status}`.execute(db)
  return Number(rows[0]?.n)
}

/** What it costs to go on after a wait, with the code in memory and without. */
export async function measureWarmth(database: Database): Promise<void> {
  const durably = createDurably({ dialect: database.dialect(), jobs: { patient } })
  await durably.init()
  const { id } = await durably.jobs.patient.trigger({ steps: STEPS, waits: 9 })
  const isParked = async (): Promise<boolean> => (await durably.getRun(id))?.status === 'waiting'
  const wake = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    whenFirstLine(() => resolve())
    await durably.signal(id, 'go')
    await promise
  }
  const warm: number[] = []
  const cold: number[] = []
  for (let i = 0; i < 4; i++) {
    for (const times of [warm, cold]) {
      while (!(await isParked())) await sleep(20)
      // What was suspended in memory ends with the worker.
      if (times === cold) await durably.stop()
      durably.start()
      await sleep(100)
      times.push(...(await timesOf(wake, 1)))
    }
  }
  await durably.cancel(id)
  await durably.close()
  print({
    measure: `wake with the code in memory`,
    database: database.name,
    figure: ms(median(warm)),
    control: `replayed ${ms(median(cold))}`,
    value: median(warm) / median(cold),
    bar: 0.2,
    must: 'stay below',
  })
}

function show(
  measure: string,
  database: Database,
  time: number,
  control: string,
  bar: number,
): void {
  printTime({ measure, database: database.name, control }, time, bar)
}
