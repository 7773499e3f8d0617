import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDurably } from '@coji/durably'
import type { Database } from './databases.ts'
import { openHandover } from './handover.ts'
import { first, now, ticking, whenFirstLine } from './jobs.ts'
import { ms, printTime } from './report.ts'
import { median, percentile, timesOf } from './rounds.ts'

const CALLS = 300

/** From calling trigger to the first line of the job and to its result, in the same process. */
export async function measureLatency(database: Database): Promise<void> {
  const durably = createDurably({ dialect: database.dialect(), jobs: { first } })
  await durably.init()
  const { trigger, triggerAndWait } = durably.jobs.first
  const toFirstLine = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    whenFirstLine(() => resolve())
    const triggered = trigger({ id: 'first' })
    await promise
    firstLines.push(performance.now() - startedAt)
    await durably.waitForRun((await triggered).id)
  }
  const firstLines: number[] = []
  const commits: number[] = []
  const results: number[] = []
  let startedAt = 0
  for (let i = 0; i < CALLS; i++) {
    commits.push(...(await timesOf(() => database.rawCommits(1), 1)))
    startedAt = performance.now()
    await toFirstLine()
    whenFirstLine(() => {})
    results.push(...(await timesOf(async () => void (await triggerAndWait({ id: 'x' })), 1)))
  }
  await durably.close()

  const raw50 = median(commits)
  const raw99 = percentile(commits, 0.99)
  show('trigger to first line, p50', database, median(firstLines), raw50, 2 * raw50 + 1)
  show('trigger to first line, p99', database, percentile(firstLines, 0.99), raw99, 2 * raw99 + 5)
  show('trigger to result, p50', database, median(results), raw50, Number.POSITIVE_INFINITY)
}

/** The same with the worker in another process, while something happens and after a rest. */
export async function measureLatencyElsewhere(database: Database): Promise<void> {
  const isPostgres = database.kind === 'postgres'
  const busy = { rests: 60, restMs: 50, lookMs: 1 }
  await showElsewhere('elsewhere, busy, p50', database, busy, isPostgres ? 6 : 3)
  const idle = { rests: 8, restMs: 3000, lookMs: 50 }
  await showElsewhere('elsewhere, idle, p50', database, idle, isPostgres ? 6 : 60)
}

/** How often something happens, how long nothing does in between, and how often who takes a row looks for one. */
interface Pace {
  readonly rests: number
  readonly restMs: number
  readonly lookMs: number
}

/** Runs begin and, in turns, rows are taken in a process of their own each. */
async function showElsewhere(
  measure: string,
  database: Database,
  { rests, restMs, lookMs }: Pace,
  bar: number,
): Promise<void> {
  const durably = createDurably({ ...database.shared(), jobs: { first } })
  await durably.migrate()
  const handover = await openHandover(database.address)
  const worker = await startProcess('worker-process.ts', database.address)
  const taker = await startProcess('taker-process.ts', database.address, String(lookMs))
  const ours: number[] = []
  const raw: number[] = []
  for (let i = 0; i < rests; i++) {
    await sleep(restMs)
    raw.push(await timeUntilTold(taker, () => handover.give(Date.now())))
    await sleep(restMs)
    ours.push(await timeUntilTold(worker, () => durably.jobs.first.trigger({ id: String(i) })))
  }
  for (const child of [worker, taker]) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await handover.close()
  await durably.close()
  show(measure, database, median(ours), median(raw), bar)
}

/** A process that tells when something happened in it, once it said that it is ready. */
async function startProcess(file: string, ...parameters: string[]): Promise<ChildProcess> {
  const child = fork(new URL(file, import.meta.url), parameters)
  await once(child, 'message')
  return child
}

/** Milliseconds from calling `call` to what it makes happen in the other process. */
async function timeUntilTold(child: ChildProcess, call: () => Promise<unknown>): Promise<number> {
  const told = once(child, 'message')
  const calledAt = process.hrtime.bigint()
  await call()
  const [{ at }] = (await told) as [{ at: string }]
  return Number(BigInt(at) - calledAt) / 1e6
}

/** From the end of a step in another process to its event here. */
export async function measureFollowing(database: Database): Promise<void> {
  const durably = createDurably({ ...database.shared(), jobs: { ticking } })
  await durably.migrate()
  const child = await startProcess('worker-process.ts', database.address)
  const { id } = await durably.jobs.ticking.trigger({ steps: 100, pause: 30 })
  const delays: number[] = []
  for await (const event of durably.subscribe(id)) {
    if (event.type === 'step:complete') delays.push(now() - Number(event.output))
  }
  child.kill('SIGKILL')
  await once(child, 'exit')
  await durably.close()
  show('step to event, elsewhere, p50', database, median(delays), null, 50)
  show('step to event, elsewhere, p99', database, percentile(delays, 0.99), null, 100)
}

function show(
  measure: string,
  database: Database,
  time: number,
  raw: number | null,
  bar: number,
): void {
  printTime(
    { measure, database: database.name, control: raw === null ? '' : `raw ${ms(raw)}` },
    time,
    bar,
  )
}
