import type pg from 'pg'
import { expect, test } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import {
  act,
  claim,
  claimRequest,
  commit,
  commitOf,
  ending,
  enqueue,
  JOB,
  newRun,
  nothing,
  only,
  reclaim,
  START,
  stepDone,
} from '../conformance/store/scenario.ts'
import { intercept, openSchema, type Schema } from './postgres-schema.ts'

const MANY = 100_000
const HOUR = 3_600_000
const FILL_TIMEOUT_MS = 120_000

// A page is 8 kB. What reads a table reads thousands; a lookup in an index reads 3 or 4, and is done once for each run.
const MAX_PAGES = 300
const PROMOTED = 10

/** What the store does all day long, and pages of lists wherever they are. */
const operations: Record<string, (store: Store) => Promise<unknown>> = {
  look: (store) => store.look([JOB, 'paused'], START),
  'look for what is paused': (store) => store.look(['paused'], START),
  claim: (store) => claim(store, { jobs: [JOB, 'paused', 'ended'], limit: 2 }),
  'claim what is paused': (store) => claim(store, { jobs: ['paused'] }),
  'promote nothing': (store) => store.promote(PROMOTED, START),
  'promote some of many': (store) => store.promote(PROMOTED, START + HOUR),
  renew: (store) => store.renew({ workerId: 'worker', leaseMs: 1000 }, START),
  reclaim: (store) => reclaim(store, {}, START),
  enqueue: (store) => enqueue(store, [newRun('new')]),
  'enqueue behind many': (store) => enqueue(store, [newRun('new-2', { concurrencyKey: 'key' })]),
  coalesce: (store) => enqueue(store, [newRun('new-3', { concurrencyKey: 'key', coalesce: true })]),
  'cancel the first of many': (store) => act(store, 'cancel', 'blocked-000001'),
  delete: (store) => act(store, 'delete', 'ended-050000'),
  'purge by age': (store) => store.purge({}, START, 5),
  'purge a job': (store) => store.purge({ jobName: 'ended', statuses: ['failed'] }, START, 5),
  'a run': (store) => store.run('ended-000500'),
  'its journal': (store) => store.journal('ended-000500', 0, 100),
  'the first page': (store) => store.runs({ limit: 10 }),
  'a page in the middle': (store) => store.runs({ limit: 10, cursor: 'delayed-050000' }),
  'a rare status': (store) => store.runs({ limit: 10, statuses: ['failed', 'running'] }),
  'a rare status, in the middle': (store) =>
    store.runs({ limit: 10, statuses: ['failed'], cursor: 'ended-050000' }),
  'an old job': (store) => store.runs({ limit: 10, jobName: 'ancient' }),
  'an old job, in the middle': (store) =>
    store.runs({ limit: 10, jobName: 'ancient', cursor: 'ancient-000500' }),
  'a status of a job': (store) => store.runs({ limit: 10, jobName: 'ended', statuses: ['failed'] }),
  'a frequent label': (store) =>
    store.runs({ limit: 10, labels: { team: 'large' }, cursor: 'ended-050000' }),
  'a rare label': (store) => store.runs({ limit: 10, labels: { team: 'small' } }),
}

test(
  'every operation searches by an index, whatever else is in the tables',
  async () => {
    const schema = await openSchema()
    const pool = schema.pool()
    const seen: Seen[] = []
    const watched = intercept(pool, (text, send, values) => {
      if (values.length > 0) seen.push({ text, values })
      return send()
    })
    const store = await schema.store(watched)
    await fill(schema)

    const tooDear: string[] = []
    const examine = async (name: string, operate: () => Promise<unknown>): Promise<void> => {
      seen.length = 0
      await operate()
      for (const statement of seen) {
        for (const mode of ['force_custom_plan', 'auto']) {
          const pages = await pagesOf(pool, statement, mode)
          if (pages > MAX_PAGES) tooDear.push(`${name}: ${pages} pages, ${mode}: ${statement.text}`)
        }
      }
    }
    for (const [name, operate] of Object.entries(operations))
      await examine(name, () => operate(store))
    const mine = only(await claim(store, { workerId: 'mine', limit: 1 }))
    await examine('step', () => commit(store, commitOf(mine, [stepDone(mine.entry.seq)])))
    await examine('end, trigger and claim', () =>
      store.write(
        {
          ...nothing,
          commits: [ending(mine, 'complete', mine.entry.seq + 1)],
          runs: [newRun('new-4')],
          claim: claimRequest({ limit: 1 }),
        },
        START,
      ),
    )
    expect(tooDear).toEqual([])
  },
  FILL_TIMEOUT_MS,
)

interface Seen {
  readonly text: string
  readonly values: readonly unknown[]
}

// PostgreSQL plans five times for the very values before it may keep a plan for any.
const EXECUTIONS = 7

async function pagesOf(pool: pg.Pool, { text, values }: Seen, mode: string): Promise<number> {
  const client = await pool.connect()
  const literals = values.map((value) =>
    typeof value === 'string' ? client.escapeLiteral(value) : JSON.stringify(value),
  )
  const execute = `execute examined(${literals.join(', ')})`
  try {
    await client.query(`set plan_cache_mode = ${mode}; prepare examined as ${text}`)
    let pages = 0
    for (let i = 0; i < (mode === 'auto' ? EXECUTIONS : 1); i++) {
      await client.query('begin')
      const { rows } = await client.query<Explained>(
        `explain (analyze, buffers, timing off, format json) ${execute}`,
      )
      await client.query('rollback')
      const plan = rows[0]?.['QUERY PLAN'][0].Plan
      pages = (plan?.['Shared Hit Blocks'] ?? 0) + (plan?.['Shared Read Blocks'] ?? 0)
    }
    return pages
  } finally {
    client.release(true)
  }
}

interface Explained {
  readonly 'QUERY PLAN': readonly [
    {
      readonly Plan: { readonly 'Shared Hit Blocks': number; readonly 'Shared Read Blocks': number }
    },
  ]
}

/** Much of everything that a claim, a promotion or a list must not see, and little of what they look for. */
async function fill(schema: Schema): Promise<void> {
  const delayed = String(START + HOUR)
  const ended = { ready: 'false', completed_at: `${START} - n`, status: `'completed'` }
  await Promise.all([
    insertRuns(schema, 'ancient', 1000, { ...ended, job: `'ancient'` }),
    insertRuns(schema, 'blocked', MANY, { concurrency_key: `'key'`, ready: 'n = 1' }),
    insertRuns(schema, 'delayed', MANY, {
      ready: 'false',
      priority: '10',
      due_at: delayed,
      wake_at: delayed,
    }),
    insertRuns(schema, 'ended', MANY, {
      ...ended,
      job: `'ended'`,
      status: `case when n % 1000 = 0 then 'failed' else 'completed' end`,
    }),
    insertRuns(schema, 'mine', 100, { expire_at: String(START + 10 * HOUR) }),
    insertRuns(schema, 'paused', MANY, { job: `'paused'` }),
    insertRuns(schema, 'unknown', MANY, { job: `'unknown'`, priority: '5' }),
  ])
  await schema.query(`insert into durably_jobs (name, paused) values ('paused', true)`)
  await schema.query(`insert into durably_keys (key, runs) values ('key', ${MANY})`)
  await schema.query(`
    insert into durably_labels (name, value, run_id)
    select 'team', case when status = 'failed' then 'small' else 'large' end, id
    from durably_runs where job = 'ended'`)
  await schema.query('analyze durably_runs, durably_labels, durably_keys, durably_jobs')
}

/** Of the columns that are not given, what a run has that was enqueued just now. */
async function insertRuns(
  schema: Schema,
  name: string,
  count: number,
  more: Readonly<Record<string, string>>,
): Promise<void> {
  const columns: Record<string, string> = {
    id: `'${name}-' || lpad(n::text, 6, '0')`,
    job: `'${JOB}'`,
    status: `'pending'`,
    ready: 'true',
    priority: '0',
    due_at: String(START),
    holds_key: 'false',
    generation: '0',
    attempt: '1',
    crashes: '0',
    inbox: '0',
    created_at: String(START),
    updated_at: String(START),
    labels: `'{}'`,
    payload_format: `'json'`,
    payload: `'{}'`,
    ...more,
  }
  await schema.query(`
    insert into durably_runs (${Object.keys(columns).join(', ')})
    select ${Object.values(columns).join(', ')} from generate_series(1, ${count}) as n`)
}
