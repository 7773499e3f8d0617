import { createDurably } from '@coji/durably'
import type { Database } from './databases.ts'
import { empty, steps } from './jobs.ts'
import { perSecond, print } from './report.ts'
import { compare, type Ratio } from './rounds.ts'

const CONCURRENT = 100
const STEPS_EACH = 10

/** Steps and runs per second, each against raw commits on the same driver. */
export async function measureThroughput(database: Database): Promise<void> {
  const durably = createDurably({
    dialect: database.dialect(),
    maxConcurrentRuns: CONCURRENT,
    jobs: { steps, empty },
  })
  await durably.init()
  const { jobs } = durably
  const { rawCommits, rawGroups, rawParallelCommits } = database

  const sequential = async (count: number): Promise<void> => {
    await jobs.steps.triggerAndWait({ count })
  }
  const concurrent = async (count: number): Promise<void> => {
    const runs = Array.from({ length: count / STEPS_EACH }, () =>
      jobs.steps.triggerAndWait({ count: STEPS_EACH }),
    )
    await Promise.all(runs)
  }
  const emptyRuns = async (count: number): Promise<void> => {
    const triggered = await jobs.empty.batchTrigger(Array.from({ length: count }, () => ({})))
    await Promise.all(triggered.map((run) => durably.waitForRun(run.id)))
  }
  const isPostgres = database.kind === 'postgres'
  const raw = { work: rawCommits, count: isPostgres ? 500 : 1000 }

  show(
    'sequential steps',
    database,
    await compare({ work: sequential, count: isPostgres ? 500 : 2000 }, raw),
    sequentialBar(database),
  )
  const many = { work: concurrent, count: CONCURRENT * STEPS_EACH }
  if (rawParallelCommits === null) {
    show(
      '100 runs × 10 steps / commits',
      database,
      await compare(many, raw),
      isLibsql(database) ? 2 : 4,
    )
    const groups = { work: rawGroups, count: 10_000 }
    show(
      '100 runs × 10 steps / groups',
      database,
      await compare(many, groups),
      isLibsql(database) ? 0 : 0.25,
    )
  } else {
    const parallel = { work: rawParallelCommits, count: 2000 }
    show('100 runs × 10 steps / 8 connections', database, await compare(many, parallel), 2)
  }
  show(
    'empty runs, trigger to done',
    database,
    await compare({ work: emptyRuns, count: 1000 }, raw),
    0,
  )
  await durably.close()
}

function sequentialBar({ name, kind }: Database): number {
  const ours = name.includes('our dialect')
  if (kind === 'sqlite') return ours ? 0.85 : 0.6
  if (kind === 'postgres') return ours ? 0.6 : 0.45
  return 0
}

function isLibsql({ kind }: Database): boolean {
  return kind === 'libsql'
}

function show(measure: string, database: Database, { ours, raw, ratio }: Ratio, bar: number): void {
  print({
    measure,
    database: database.name,
    figure: perSecond(ours),
    control: `raw ${perSecond(raw)}`,
    value: ratio,
    bar,
    must: 'reach',
  })
}
