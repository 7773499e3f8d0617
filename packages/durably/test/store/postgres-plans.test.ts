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
  newSend,
  nothing,
  only,
  parking,
  reclaim,
  send,
  START,
  stepDone,
  waitFor,
} from '../conformance/store/scenario.ts'
import { intercept, openSchema, type Schema } from './postgres-schema.ts'

const HOUR = 3_600_000
const FILL_TIMEOUT_MS = 120_000

// A page is 8 kB. What reads a table reads thousands of pages or rows; a lookup in an index reads 3 or 4 pages.
const MAX_COST = 300
// Of a small table that it knows nothing of yet, PostgreSQL may find reading it once as good as any index.
const SMALL = 1000
const MAX_COST_OF_SMALL = 10 * SMALL
const PROMOTED = 10
// What is known of them is known when the test says so, not when PostgreSQL has come to look at them by itself:
// of a small table that it knows, it may read all for each row of a list.
const FILLED = [
  'durably_runs',
  'durably_journal',
  'durably_labels',
  'durably_keys',
  'durably_jobs',
  'durably_mailbox',
  'durably_tokens',
  'durably_waiters',
]

/** What the store does all day long, and pages of lists wherever they are. `n` is another one each time. */
function operations(n: number): Record<string, (store: Store) => Promise<unknown>> {
  const behindMany = { concurrencyKey: 'key' }
  return {
    look: (store) => store.look([JOB, 'paused'], START),
    'look for what is paused': (store) => store.look(['paused'], START),
    claim: (store) => claim(store, { jobs: [JOB, 'paused', 'ended'], limit: 2 }),
    'claim what is paused': (store) => claim(store, { jobs: ['paused'] }),
    'promote nothing': (store) => store.promote(PROMOTED, START),
    'promote some of many': (store) => store.promote(PROMOTED, START + HOUR),
    renew: (store) => store.renew({ workerId: 'worker', leaseMs: 1000 }, START),
    reclaim: (store) => reclaim(store, {}, START),
    enqueue: (store) => enqueue(store, [newRun(`new-${n}`)]),
    'enqueue some': (store) => enqueue(store, [newRun(`one-of-${n}`), newRun(`two-of-${n}`)]),
    'steps and ends of some': (store) => executeSome(store),
    'enqueue and claim': (store) => enqueueAndClaim(store, `first-${n}`, ['new', 'ancient']),
    'enqueue and claim behind many': (store) =>
      enqueueAndClaim(store, `behind-${n}`, ['new', JOB, 'unknown']),
    'enqueue and claim beside what is paused': (store) =>
      enqueueAndClaim(store, `beside-${n}`, ['new', 'paused']),
    'enqueue behind many': (store) => enqueue(store, [newRun(`more-${n}`, behindMany)]),
    coalesce: (store) => enqueue(store, [newRun(`one-${n}`, { ...behindMany, coalesce: true })]),
    'cancel one of many': (store) => act(store, 'cancel', `blocked-00000${n}`),
    delete: (store) => act(store, 'delete', `ended-00050${n}`),
    'purge by age': (store) => store.purge({}, START, 5, START),
    'purge a job': (store) =>
      store.purge({ jobName: 'ended', statuses: ['failed'] }, START, 5, START),
    'a run': (store) => store.run('ended-000400'),
    'its journal': (store) => store.journal('ended-000400', 0, 100),
    'a page of a long journal': (store) => store.journal('chatty', 500, 100),
    'the first page': (store) => store.runs({ limit: 10 }),
    'a page in the middle': (store) => store.runs({ limit: 10, cursor: 'delayed-000900' }),
    'a rare status': (store) => store.runs({ limit: 10, statuses: ['failed', 'running'] }),
    'a rare status, in the middle': (store) =>
      store.runs({ limit: 10, statuses: ['failed'], cursor: 'ended-000900' }),
    'an old job': (store) => store.runs({ limit: 10, jobName: 'ancient' }),
    'an old job, in the middle': (store) =>
      store.runs({ limit: 10, jobName: 'ancient', cursor: 'ancient-000500' }),
    'a status of a job': (store) =>
      store.runs({ limit: 10, jobName: 'ended', statuses: ['failed'] }),
    'a frequent label': (store) =>
      store.runs({ limit: 10, labels: { team: 'large' }, cursor: 'ended-000900' }),
    'a rare label': (store) => store.runs({ limit: 10, labels: { team: 'small' } }),
    'step, end, trigger and claim': (store) => execute(store, n),
    'wake some of many': (store) => store.promote(PROMOTED, START + 2 * HOUR),
    'send to one of many that wait': (store) =>
      send(store, newSend(`waiting-00010${n}`, 'go', { id: `new ${n}` })),
    'send to one that was sent much': (store) =>
      send(store, newSend('chatty', 'go', { id: `new ${n}` })),
    'read a mailbox of which much was read': (store) => store.mailbox('chatty'),
    'complete a token': (store) =>
      send(store, { ...newSend('', 'go'), kind: 'token', to: { tokenHash: `hash-00000${n}` } }),
    'wait and be told': (store) => waitForChild(store, n),
    'park and be asked for again': (store) => parkAndAsk(store, n),
  }
}

async function enqueueAndClaim(store: Store, id: string, jobs: readonly string[]): Promise<void> {
  const runs = [newRun(id, { jobName: 'new' })]
  await store.write({ ...nothing, runs, claim: claimRequest({ jobs, limit: 1 }) }, START)
}

async function execute(store: Store, n: number): Promise<void> {
  const mine = only(await claim(store, { workerId: 'mine', limit: 1 }))
  const { seq } = mine.entry
  await commit(store, commitOf(mine, [stepDone(seq)]))
  const commits = [ending(mine, 'complete', seq + 1)]
  const runs = [newRun(`next-${n}`)]
  await store.write({ ...nothing, commits, runs, claim: claimRequest({ limit: 1 }) }, START)
}

async function executeSome(store: Store): Promise<void> {
  const mine = await claim(store, { workerId: 'mine', limit: 2 })
  expect(mine).toHaveLength(2)
  const steps = mine.map((claimed) => commitOf(claimed, [stepDone(claimed.entry.seq)]))
  await store.write({ ...nothing, commits: steps }, START)
  const commits = mine.map((claimed) => ending(claimed, 'complete', claimed.entry.seq + 1))
  await store.write({ ...nothing, commits }, START)
}

async function waitForChild(store: Store, n: number): Promise<void> {
  await enqueue(store, [newRun(`parent-${n}`, { priority: 90 })])
  const parent = only(await claim(store, { workerId: 'parents', limit: 1 }))
  await store.watch(parent.run.id, `delayed-00020${n}`, START)
  const waits = [waitFor('run', `delayed-00020${n}`)]
  const tokens = [{ hash: `mine-${n}`, name: 'x', expiresAt: null }]
  await commit(store, { ...parking(parent, { waits }), tokens, consumes: [1] })
  await act(store, 'cancel', `delayed-00020${n}`)
  await store.watch(parent.run.id, `delayed-00020${n}`, START)
}

async function parkAndAsk(store: Store, n: number): Promise<void> {
  await enqueue(store, [newRun(`sleeper-${n}`, { priority: 90 })])
  const { run, entry } = only(await claim(store, { workerId: 'sleepers', limit: 1 }))
  const waits = [waitFor('sleep', 'nap')]
  await commit(store, parking({ run, entry }, { waits, wakeAt: START + HOUR }))
  await store.act({ transition: 'wake', runId: run.id, generation: run.generation }, START)
}

test.each([SMALL, 100_000])(
  'every operation searches by an index, with %d of all that it does not look for',
  async (many) => {
    const schema = await openSchema()
    const pool = schema.pool()
    const seen: Seen[] = []
    const watched = intercept(pool, (text, send, values) => {
      if (values.length > 0) seen.push({ text, values })
      return send()
    })
    const store = await schema.store(watched)
    await fill(schema, many)

    const examine = async (n: number, maxCost: number): Promise<string[]> => {
      const tooDear: string[] = []
      const client = await pool.connect()
      for (const [name, operate] of Object.entries(operations(n))) {
        seen.length = 0
        await operate(store)
        for (const statement of seen) {
          for (const mode of ['force_custom_plan', 'auto']) {
            const cost = await costOf(client, statement, mode)
            if (cost > maxCost) tooDear.push(`${name}: ${cost}, ${mode}: ${statement.text}`)
          }
        }
      }
      client.release(true)
      return tooDear
    }
    // As after a sudden load.
    expect(await examine(1, many === SMALL ? MAX_COST_OF_SMALL : MAX_COST)).toEqual([])
    await schema.query(`analyze ${FILLED.join(', ')}`)
    expect(await examine(2, MAX_COST)).toEqual([])
  },
  FILL_TIMEOUT_MS,
)

interface Seen {
  readonly text: string
  readonly values: readonly unknown[]
}

// PostgreSQL plans five times for the very values before it may keep a plan for any.
const EXECUTIONS = 7

/** The pages that a statement reads, or the rows that pass through a part of it, whichever are more. */
async function costOf(
  client: pg.PoolClient,
  { text, values }: Seen,
  mode: string,
): Promise<number> {
  const literals = values.map((value) =>
    typeof value === 'string' ? client.escapeLiteral(value) : JSON.stringify(value),
  )
  const execute = `execute examined(${literals.join(', ')})`
  await client.query(`set plan_cache_mode = ${mode}; prepare examined as ${text}`)
  let cost = 0
  for (let i = 0; i < (mode === 'auto' ? EXECUTIONS : 1); i++) {
    await client.query('begin')
    const explained = await client
      .query<Explained>(`explain (analyze, buffers, timing off, format json) ${execute}`)
      .catch(ignoreRepetition)
    await client.query('rollback')
    if (explained === null) break
    const { rows } = explained
    const plan = only(rows)['QUERY PLAN'][0].Plan
    cost = Math.max(cost, plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], rowsOf(plan))
  }
  await client.query('deallocate examined')
  return cost
}

const UNIQUE_VIOLATION = '23505'

/** What was inserted already cannot be inserted again; what inserts only what it was given searches nothing. */
function ignoreRepetition(error: unknown): null {
  if ((error as { code?: unknown }).code === UNIQUE_VIOLATION) return null
  throw error
}

function rowsOf(node: PlanNode): number {
  const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Join Filter'] ?? 0)
  const own = (node['Actual Rows'] + removed) * node['Actual Loops']
  return Math.max(own, ...(node.Plans ?? []).map(rowsOf))
}

interface Explained {
  readonly 'QUERY PLAN': readonly [{ readonly Plan: PlanNode }]
}

interface PlanNode {
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Join Filter'?: number
  readonly Plans?: readonly PlanNode[]
}

/** Much of everything that a claim, a promotion or a list must not see, and little of what they look for. */
async function fill(schema: Schema, many: number): Promise<void> {
  for (const table of FILLED) {
    await schema.query(`alter table ${table} set (autovacuum_enabled = off)`)
  }
  const delayed = String(START + HOUR)
  const ended = { ready: 'false', completed_at: `${START} - n`, status: `'completed'` }
  await Promise.all([
    insertRuns(schema, 'ancient', 1000, { ...ended, job: `'ancient'` }),
    insertRuns(schema, 'blocked', many, { concurrency_key: `'key'`, ready: 'n = 1' }),
    insertRuns(schema, 'delayed', many, {
      ready: 'false',
      priority: '10',
      due_at: delayed,
      wake_at: delayed,
    }),
    insertRuns(schema, 'ended', many, {
      ...ended,
      job: `'ended'`,
      status: `case when n % 1000 = 0 then 'failed' else 'completed' end`,
    }),
    insertRuns(schema, 'mine', 100, { expire_at: String(START + 10 * HOUR) }),
    insertRuns(schema, 'paused', many, { job: `'paused'` }),
    insertRuns(schema, 'waiting', many, {
      ready: 'false',
      status: `'waiting'`,
      generation: '1',
      started_at: String(START),
      waiting_for: `'[{"kind":"signal","name":"go","until":null}]'`,
      wake_at: `case when n % 2 = 0 then ${START + 2 * HOUR} end`,
    }),
    insertRuns(schema, 'unknown', many, { job: `'unknown'`, priority: '5' }),
  ])
  await fillMail(schema, many)
  await schema.query(`insert into durably_jobs (name, paused) values ('paused', true)`)
  await schema.query(`insert into durably_keys (key, runs) values ('key', ${many})`)
  await schema.query(`
    insert into durably_labels (name, value, run_id)
    select 'team', case when status = 'failed' then 'small' else 'large' end, id
    from durably_runs where job = 'ended'`)
  await fillJournal(schema, many)
}

/** A run that has a long journal, and many that have a short one. */
async function fillJournal(schema: Schema, many: number): Promise<void> {
  const columns = 'run, seq, generation, kind, name, at, data'
  const entry = `1, 'log', 'said', ${START}, '{}'`
  await schema.query(`
    insert into durably_journal (${columns})
    select number, seq, ${entry} from durably_runs, generate_series(1, 2) as seq
    where job = 'ended'`)
  await schema.query(`
    insert into durably_journal (${columns})
    select number, seq, ${entry} from durably_runs, generate_series(1, ${many}) as seq
    where id = 'chatty'`)
}

/** A run that was sent much, and much of everything that others hand out and wait for. */
async function fillMail(schema: Schema, many: number): Promise<void> {
  await insertRuns(schema, 'chatty', 1, { id: `'chatty'`, inbox: String(many), job: `'unknown'` })
  await schema.query(`
    insert into durably_mailbox (run_id, seq, id, kind, name, at, is_read)
    select 'chatty', n, 'message ' || n, 'signal', 'go', ${START}, n < ${many}
    from generate_series(1, ${many}) as n`)
  await schema.query(`
    insert into durably_tokens (hash, run_id, name)
    select 'hash-' || lpad(n::text, 6, '0'), 'waiting-' || lpad(n::text, 6, '0'), 'go'
    from generate_series(1, ${many}) as n`)
  await schema.query(`
    insert into durably_waiters (target, run_id)
    select 'paused-' || lpad(n::text, 6, '0'), 'waiting-' || lpad(n::text, 6, '0')
    from generate_series(1, ${many}) as n`)
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
