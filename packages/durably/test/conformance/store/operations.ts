import fc from 'fast-check'
import type { Wait } from '../../../src/core/run.ts'
import type { Entry } from '../../../src/core/journal.ts'
import type { RunRecord } from '../../../src/core/run.ts'
import { isLegal, type TransitionName } from '../../../src/core/transitions.ts'
import type {
  ActRequest,
  Commit,
  Mailbox,
  NewRun,
  RunQuery,
  Send,
  Store,
} from '../../../src/store/store.ts'
import { ending, LEASE_MS, newRun, SECOND, START, stepDone } from './scenario.ts'

/** One thing that can be done to a store, said without knowing what is in it. */
export type Operation =
  | { readonly kind: 'wait'; readonly seconds: number }
  | {
      readonly kind: 'write'
      readonly commits: readonly CommitPlan[]
      readonly runs: readonly RunPlan[]
      readonly sends: readonly SendPlan[]
      readonly claim: {
        readonly worker: number
        readonly jobs: readonly string[]
        readonly limit: number
      } | null
      readonly again: boolean
    }
  | {
      readonly kind: 'act'
      readonly which: number
      readonly transition: ActRequest['transition'] | 'delete'
    }
  | { readonly kind: 'watch'; readonly which: number; readonly target: number }
  | { readonly kind: 'promote'; readonly limit: number }
  | { readonly kind: 'reclaim'; readonly worker: number; readonly jobs: readonly string[] }
  | { readonly kind: 'renew'; readonly worker: number }
  | { readonly kind: 'pause'; readonly job: string; readonly paused: boolean }
  | { readonly kind: 'purge'; readonly query: RunQuery; readonly age: number }
  | { readonly kind: 'list'; readonly query: RunQuery; readonly from: number | null }

interface CommitPlan {
  readonly which: number
  readonly what: 'step' | 'retry' | 'note' | 'complete' | 'fail' | 'release' | 'park' | 'consume'
  readonly staleBy: number
  /** Of its tokens, waits, and of how much of the mailbox it has seen. */
  readonly token: boolean
  readonly waits: readonly number[]
  readonly wakeIn: number | null
  readonly unseen: number
}

interface SendPlan {
  readonly which: number
  readonly kind: Send['kind']
  readonly name: string
  readonly id: number | null
  readonly token: number
}

type RunPlan = Pick<NewRun, 'jobName' | 'priority' | 'labels' | 'coalesce'> & {
  readonly idempotencyKey: string | null
  readonly concurrencyKey: string | null
  readonly dueIn: number | null
  readonly expireIn: number | null
  /** It is one that was sent before, whatever became of it. */
  readonly again: number | null
}

const JOBS = ['job', 'other job', 'third job']
const STATUSES = ['pending', 'running', 'waiting', 'completed', 'failed', 'cancelled'] as const
const NAMES = ['x', 'y']
const WAIT_KINDS = ['signal', 'token', 'run', 'sleep', 'retry'] as const
const MAX_CRASHES = 3

const worker = fc.nat({ max: 2 })
const which = fc.nat({ max: 30 })
const labels = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2'))
const query: fc.Arbitrary<RunQuery> = fc.record(
  {
    jobName: fc.constantFrom(...JOBS),
    statuses: fc.uniqueArray(fc.constantFrom(...STATUSES)),
    labels: fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2'), { maxKeys: 1 }),
    limit: fc.nat({ max: 5 }),
    offset: fc.nat({ max: 3 }),
  },
  { requiredKeys: [] },
)

const commitPlan: fc.Arbitrary<CommitPlan> = fc.record({
  which,
  what: fc.constantFrom(
    'step',
    'retry',
    'note',
    'complete',
    'fail',
    'release',
    'park',
    'park',
    'park',
    'consume',
  ),
  staleBy: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, -1),
  token: fc.boolean(),
  waits: fc.array(fc.nat({ max: 40 }), { maxLength: 3 }),
  wakeIn: fc.constantFrom(null, -1, 0, 1, 5),
  unseen: fc.constantFrom(0, 0, 0, 1),
})

const sendPlan: fc.Arbitrary<SendPlan> = fc.record({
  which,
  kind: fc.constantFrom('signal', 'signal', 'token', 'token', 'wake'),
  name: fc.constantFrom(...NAMES),
  id: fc.option(fc.nat({ max: 3 })),
  token: fc.nat({ max: 30 }),
})

const anyRun: fc.Arbitrary<RunPlan> = fc.record({
  jobName: fc.constantFrom(...JOBS),
  priority: fc.constantFrom(0, 0, 5, -5),
  labels,
  idempotencyKey: fc.constantFrom(null, null, null, 'i1', 'i2', 'i3'),
  concurrencyKey: fc.constantFrom(null, null, 'k1', 'k2', 'k3'),
  coalesce: fc.constantFrom(false, false, true),
  dueIn: fc.constantFrom(null, null, null, -2, -1, 0, 1, 9),
  expireIn: fc.constantFrom(null, null, null, null, 0, 1, 6, 60),
  again: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: which }),
})

/** Often one that can be claimed as soon as it is made. */
const runPlan: fc.Arbitrary<RunPlan> = fc.oneof(
  anyRun,
  anyRun.map((plan) => ({ ...plan, concurrencyKey: null, coalesce: false, dueIn: null })),
)

const claimPlan = fc.record({
  worker,
  jobs: fc.subarray(JOBS, { minLength: 2 }),
  limit: fc.nat({ max: 4 }),
})

const write = fc.record({
  kind: fc.constant('write' as const),
  commits: fc.uniqueArray(commitPlan, { maxLength: 4, selector: (plan) => plan.which }),
  runs: fc.uniqueArray(runPlan, { maxLength: 4, selector: ({ again }) => again ?? {} }),
  sends: fc.oneof(fc.constant([]), fc.array(sendPlan, { maxLength: 4 })),
  claim: fc.option(claimPlan),
  again: fc.boolean(),
})

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 8, arbitrary: write },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('act' as const),
      which,
      transition: fc.constantFrom('cancel', 'retry', 'delete', 'release', 'wake'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('watch' as const), which, target: which }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      seconds: fc.constantFrom(0, 1, 1, 5, 5, 100),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('promote' as const), limit: fc.nat({ max: 4 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('reclaim' as const),
      worker,
      jobs: fc.subarray(JOBS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('renew' as const), worker }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('pause' as const),
      job: fc.constantFrom(...JOBS),
      paused: fc.constantFrom(true, false, false),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('purge' as const),
      query,
      age: fc.constantFrom(0, 3, 50),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('list' as const), query, from: fc.option(which) }),
  },
)

/** What the operations so far have led to, as far as the next one must know it. */
export interface World {
  now: number
  /** All runs that were ever sent, in that order. */
  readonly sent: NewRun[]
  /** Hashes of tokens that were handed out, whatever became of it. */
  readonly tokens: string[]
  messages: number
}

export function createWorld(): World {
  return { now: START, sent: [], tokens: [], messages: 0 }
}

/** An operation made concrete: the same request for every store. */
export type Request = (store: Store) => Promise<unknown>

/** Makes the operation concrete by what `model` holds, and moves the world on. */
export async function concrete(
  plan: Operation,
  world: World,
  model: Store,
): Promise<readonly Request[]> {
  const { now } = world
  switch (plan.kind) {
    case 'wait':
      world.now += plan.seconds * SECOND
      return [(store) => store.look(JOBS, world.now)]
    case 'write': {
      const request = await writeRequest(plan, world, model)
      // A claim takes more each time, so only a batch without one is the same when it is sent again.
      return plan.again && plan.claim === null ? [request, request] : [request]
    }
    case 'act': {
      const runId = (await pick(plan.which, plan.transition, model))?.id ?? 'none'
      const generation = (await model.run(runId))?.generation ?? 0
      const { transition } = plan
      if (transition === 'delete') return [(store) => store.remove(runId, now)]
      return [(store) => store.act({ transition, runId, generation }, now)]
    }
    case 'watch': {
      const runId = (await pick(plan.which, 'park', model))?.id ?? 'none'
      const target = (await pick(plan.target, 'cancel', model))?.id ?? 'none'
      return [(store) => store.watch(runId, target, now)]
    }
    case 'promote':
      return [(store) => store.promote(plan.limit, now).then(byRun)]
    case 'reclaim': {
      const request = { ...workerLease(plan.worker), jobs: plan.jobs, limit: 1000 }
      return [(store) => reclaimAll(store, { ...request, maxCrashes: MAX_CRASHES }, now)]
    }
    case 'renew':
      return [(store) => store.renew(workerLease(plan.worker), now).then(byRunId)]
    case 'pause':
      return [(store) => store.setPaused(plan.job, plan.paused, now)]
    case 'purge':
      return [(store) => purgeAll(store, plan.query, now - plan.age * SECOND)]
    case 'list': {
      const cursor = plan.from === null ? {} : { cursor: idOf(plan.from) }
      return [(store) => store.runs({ ...plan.query, ...cursor })]
    }
  }
}

async function writeRequest(
  { commits, runs, sends, claim }: Extract<Operation, { kind: 'write' }>,
  world: World,
  model: Store,
): Promise<Request> {
  const { now } = world
  const made = new Map<string, Commit>()
  for (const plan of commits) {
    const run = await pick(plan.which, 'complete', model)
    const page = run && (await model.journal(run.id, 0, 1000))
    const last = page?.entries.at(-1)
    if (!page || !last) continue
    const mailbox = await model.mailbox(page.run.id)
    made.set(page.run.id, commitFor(plan, page.run, mailbox, last, world))
  }
  const batch = {
    commits: [...made.values()],
    runs: runs.map((plan) => runFor(plan, world)),
    sends: await Promise.all(sends.map((plan) => sendFor(plan, world, model))),
    claim: claim && {
      ...workerLease(claim.worker),
      jobs: claim.jobs,
      limit: claim.limit,
    },
  }
  return async (store) => {
    const written = await store.write(batch, now)
    return { ...written, woken: byRun(written.woken) }
  }
}

function commitFor(
  plan: CommitPlan,
  run: RunRecord,
  { messages }: Mailbox,
  last: Entry,
  world: World,
): Commit {
  const { now } = world
  const holder = { ...run, generation: run.generation - plan.staleBy }
  const { id: runId, generation, concurrencyKey } = holder
  const bare = { lease: { runId, generation }, concurrencyKey, entries: [] }
  switch (plan.what) {
    case 'note':
      return { ...bare, executing: 'noted', progress: { current: last.seq } }
    case 'step':
      return { ...bare, entries: [stepDone(last.seq, `step ${last.seq}`, now)] }
    case 'retry': {
      const data = '{"index":0,"duration":1,"error":{"name":"Error","message":"no"},"until":0}'
      const name = `step ${last.seq}`
      return { ...bare, entries: [{ seq: last.seq + 1, kind: 'step:retry', name, at: now, data }] }
    }
    case 'consume': {
      const consumes = messages.slice(0, 1 + plan.unseen).map(({ seq }) => seq)
      const mail = { consumes, ...(plan.token ? { tokens: [tokenFor(plan, world)] } : {}) }
      return { ...bare, ...mail, entries: [stepDone(last.seq, `step ${last.seq}`, now)] }
    }
    case 'park':
      return parkFor(plan, bare, run.inbox, last, world)
    default:
      return ending({ run: holder, entry: last }, plan.what, last.seq, now)
  }
}

function tokenFor({ wakeIn }: CommitPlan, world: World) {
  const hash = `hash ${world.tokens.length}`
  world.tokens.push(hash)
  const expiresAt = wakeIn === null ? null : world.now + wakeIn * SECOND
  return { hash, name: NAMES[world.tokens.length % NAMES.length] ?? '', expiresAt }
}

function parkFor(
  { waits, wakeIn, unseen }: CommitPlan,
  bare: Commit,
  inbox: number,
  last: Entry,
  { now, sent }: World,
): Commit {
  const open = waits.map((n): Wait => {
    const kind = WAIT_KINDS[n % WAIT_KINDS.length] ?? 'sleep'
    const name = kind === 'run' ? sent[n % sent.length]?.id : NAMES[n % NAMES.length]
    return { kind, name: name ?? '', until: null }
  })
  const wakeAt = wakeIn === null ? null : now + wakeIn * SECOND
  return {
    ...bare,
    entries: [{ seq: last.seq + 1, kind: 'run:wait', name: null, at: now, data: '{"waits":[]}' }],
    transition: { name: 'park', inbox: Math.max(0, inbox - unseen), wakeAt, waits: open },
  }
}

async function sendFor(plan: SendPlan, world: World, model: Store): Promise<Send> {
  const runId = (await pick(plan.which, 'wake', model))?.id ?? 'none'
  const tokenHash = world.tokens[plan.token % Math.max(1, world.tokens.length)] ?? 'none'
  return {
    id: plan.id === null ? `message ${world.messages++}` : `again ${plan.id}`,
    to: plan.kind === 'token' ? { tokenHash } : { runId },
    kind: plan.kind,
    name: plan.name,
    data: { format: 'json', text: String(world.messages) },
  }
}

function runFor({ dueIn, expireIn, again, ...plan }: RunPlan, world: World): NewRun {
  const before = again === null ? undefined : world.sent[again]
  if (before !== undefined) return { ...before, isSentAgain: true }
  const dueAt = dueIn === null ? null : world.now + dueIn * SECOND
  const expireAt = expireIn === null ? null : world.now + expireIn * SECOND
  const run = newRun(idOf(world.sent.length), { ...plan, dueAt, expireAt })
  world.sent.push(run)
  return run
}

function idOf(index: number): string {
  return `run-${String(index).padStart(4, '0')}`
}

/** Mostly a run that allows the transition, else any. */
async function pick(
  index: number,
  transition: TransitionName,
  model: Store,
): Promise<RunRecord | undefined> {
  const runs = await model.runs({})
  const allowing = runs.filter(({ status }) => isLegal(transition, status))
  const candidates = index % 5 === 0 || allowing.length === 0 ? runs : allowing
  return candidates[index % Math.max(candidates.length, 1)]
}

/** Leases end between the seconds at which things happen, so that real time between two calls is nothing. */
function workerLease(index: number): { workerId: string; leaseMs: number } {
  return { workerId: `worker-${index}`, leaseMs: LEASE_MS + SECOND / 2 }
}

// Where the port promises no order, both sides are put into one.

async function reclaimAll(
  store: Store,
  request: Parameters<Store['reclaim']>[0],
  now: number,
): Promise<unknown> {
  const { claimed, others } = await store.reclaim(request, now)
  return { claimed: byRun(claimed), others: byRun(others) }
}

async function purgeAll(store: Store, query: RunQuery, before: number): Promise<string[]> {
  const ids = await store.purge(query, before, 1000, before)
  return [...ids].sort()
}

function byRun<T extends { readonly run: RunRecord }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => (a.run.id < b.run.id ? -1 : 1))
}

function byRunId<T extends { readonly runId: string }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => (a.runId < b.runId ? -1 : 1))
}
