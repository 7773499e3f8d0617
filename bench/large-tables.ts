import { createDurably, type Durably } from '@coji/durably'
import { sql } from 'kysely'
import type { Database } from './databases.ts'
import { empty, steps } from './jobs.ts'
import { ms, print } from './report.ts'
import { median, timesOf } from './rounds.ts'

const ROWS = Number(process.env['BENCH_ROWS'] ?? 1_000_000)
const FEW = 1000
const CLAIMS = 100

/** Claims and pages while the tables grow: neither may get dearer. */
export async function measureLargeTables(database: Database): Promise<void> {
  const durably = createDurably({ dialect: database.dialect(), jobs: { empty } })
  await durably.migrate()
  const claim = async (): Promise<number> => {
    const times = await timesOf(
      async () => void (await durably.processUntilIdle({ maxRuns: CLAIMS })),
      5,
    )
    return median(times) / CLAIMS
  }
  const fill = (rows: Rows): Promise<void> => database.exec(insertRuns(database, rows))

  await fill({ name: 'few', count: FEW })
  const few = await claim()
  const growth: Rows[] = [
    { name: '1M finished', count: ROWS, status: 'completed', ready: false },
    { name: '1M blocked on one key', count: ROWS, ready: false, key: 'one key' },
    { name: '1M of an unknown job', count: ROWS, job: 'unknown' },
    { name: '1M delayed of higher priority', count: ROWS, ready: false, priority: 9, wakeAt: 9e15 },
    { name: '1M of a paused job', count: ROWS, job: 'paused' },
    { name: '1M pending', count: ROWS },
  ]
  await durably.pauseJob('paused')
  for (const rows of growth) {
    await fill(rows)
    if (database.kind === 'postgres') await database.exec('vacuum analyze durably_runs')
    await fill({ name: `few more, ${rows.name}`, count: FEW })
    compareTo(few, `claim with ${rows.name}`, database, await claim())
  }
  await measurePages(database, durably.getRuns)
  await durably.close()
}

async function measurePages(
  database: Database,
  getRuns: (filter: { limit: number; cursor?: string }) => Promise<{ id: string }[]>,
): Promise<void> {
  const limit = 50
  const cursorAt = (row: number): string => idOf('1M finished', row)
  const page = (cursor: string) => async () => void (await getRuns({ limit, cursor }))
  const first = median(await timesOf(page('~'), 50))
  const far = median(await timesOf(page(cursorAt(ROWS - 10_000 * limit)), 50))
  compareTo(first, 'list, page 10,000', database, far)
}

/** Replaying a run of many steps against selecting its rows. */
export async function measureReplay(database: Database): Promise<void> {
  const count = 10_000
  const durably = createDurably({ dialect: database.dialect(), jobs: { steps } })
  await durably.migrate()
  const run = await durably.jobs.steps.trigger({ count })
  await durably.processUntilIdle()
  const rows = await timesOf(() => selectSteps(durably, run.id), 7)
  const replays: number[] = []
  for (let i = 0; i < 7; i++) {
    await rewind(durably, run.id)
    replays.push(...(await timesOf(async () => void (await durably.processUntilIdle()), 1)))
  }
  const raw = median(rows)
  print({
    measure: 'replay of 10,000 steps',
    database: database.name,
    figure: ms(median(replays)),
    control: `raw select ${ms(raw)}`,
    value: median(replays) / raw,
    bar: 3,
    must: 'stay below',
  })
  await durably.close()
}

/** As if it had been stopped just before its end. */
async function rewind({ db }: Pick<Durably, 'db'>, runId: string): Promise<void> {
  await sql`update durably_runs set status = 'pending', ready = true where id = ${runId}`.execute(
    db,
  )
  await sql`delete from durably_journal where ${isOf(runId)} and kind = 'run:complete'`.execute(db)
}

async function selectSteps({ db }: Pick<Durably, 'db'>, runId: string): Promise<void> {
  await sql`select * from durably_journal where ${isOf(runId)} order by seq`.execute(db)
}

function isOf(runId: string) {
  return sql`run = (select number from durably_runs where id = ${runId})`
}

interface Rows {
  readonly name: string
  readonly count: number
  readonly job?: string
  readonly status?: string
  readonly ready?: boolean
  readonly priority?: number
  readonly wakeAt?: number
  readonly key?: string
}

function idOf(name: string, row: number): string {
  return `${name} ${String(row).padStart(9, '0')}`
}

/** Runs as triggers would have made them, all at once. */
function insertRuns({ kind }: Database, rows: Rows): string {
  const { name, count, job = 'empty', status = 'pending', ready = true, priority = 0 } = rows
  const { wakeAt = null, key = null } = rows
  const text = (value: string | null): string => (value === null ? 'null' : `'${value}'`)
  const numbers =
    kind === 'postgres'
      ? `select i from generate_series(0, ${count - 1}) i`
      : `with recursive n(i) as (select 0 union all select i + 1 from n where i < ${count - 1}) select i from n`
  const pad = kind === 'postgres' ? `lpad(i::text, 9, '0')` : `printf('%09d', i)`
  return `insert into durably_runs (
      id, job, status, ready, priority, due_at, wake_at, concurrency_key, holds_key, generation, attempt,
      crashes, inbox, created_at, updated_at, completed_at, labels, payload_format, payload)
    select '${name} ' || ${pad}, '${job}', '${status}', ${ready}, ${priority}, 0, ${wakeAt ?? 'null'},
      ${text(key)}, false, 0, 1, 0, 0, 0, 0, ${status === 'completed' ? 1 : 'null'}, '{}', 'json', '{}'
    from (${numbers}) numbers`
}

function compareTo(base: number, measure: string, database: Database, time: number): void {
  print({
    measure,
    database: database.name,
    figure: ms(time),
    control: `at the start ${ms(base)}`,
    value: time / base,
    bar: 1.5,
    must: 'stay below',
  })
}
