import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDurably, type Durably } from '@coji/durably'
import type { Database } from './databases.ts'
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
  const durably = createDurably({ ...database.shared(), jobs: { first } })
  await durably.migrate()
  const child = fork(new URL('worker-process.ts', import.meta.url), [database.address])
  await once(child, 'message')
  const isPostgres = database.kind === 'postgres'
  const busy = await timesElsewhere(durably, child, 60, 50)
  const idle = await timesElsewhere(durably, child, 8, 3000)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await durably.close()
  show('elsewhere, busy, p50', database, median(busy), null, isPostgres ? 6 : 3)
  show('elsewhere, idle, p50', database, median(idle), null, isPostgres ? 6 : 60)
}

/** From the end of a step in another process to its event here. */
export async function measureFollowing(database: Database): Promise<void> {
  const durably = createDurably({ ...database.shared(), jobs: { ticking } })
  await durably.migrate()
  const child = fork(new URL('worker-process.ts', import.meta.url), [database.address])
  await once(child, 'message')
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

async function timesElsewhere(
  durably: Durably<{ first: typeof first }>,
  child: ReturnType<typeof fork>,
  calls: number,
  restMs: number,
): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < calls; i++) {
    await sleep(restMs)
    const began = once(child, 'message')
    const calledAt = process.hrtime.bigint()
    await durably.jobs.first.trigger({ id: String(i) })
    const [{ at }] = (await began) as [{ at: string }]
    times.push(Number(BigInt(at) - calledAt) / 1e6)
  }
  return times
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
