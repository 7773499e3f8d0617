import BetterSqlite from 'better-sqlite3'
import { createEnv } from '../../src/env.ts'
import { isLegal, isTerminal } from '../../src/core/transitions.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { createSqlStore } from '../../src/store/sql/sql-store.ts'
import { RejectedWriteError, type Store } from '../../src/store/store.ts'
import { sqliteDialect } from '../../src/sqlite.ts'
import { type Action, type Fault, type Plan, type TriggerPlan } from './plan.ts'
import { createRandom } from './random.ts'
import { REFUSED } from './workload.ts'
import { createWorld, POLL_MS, type Process, type World } from './world.ts'

/** What came of a simulation. */
export interface Outcome {
  /** What was broken; empty when every promise held. */
  readonly violations: readonly string[]
  /** How often each fault met each operation. */
  readonly hits: ReadonlyMap<string, number>
  readonly runs: number
}

// Long enough for every lease to run out and every run to be executed again, one after the other.
const PEACE_MS = 300_000

/** Plays a plan to its end. The same plan always goes the same way. */
export async function simulate(plan: Plan): Promise<Outcome> {
  const { store, close } = await openStore(plan)
  const world = createWorld(plan, refusing(store), createRandom(plan.seed))
  const { timeline, ledger, observer } = world
  const start = timeline.now()
  const script = { name: 'script', alive: true, frozenUntil: 0 }
  for (const action of plan.actions) timeline.after(script, action.at, () => act(world, action))
  for (const fault of plan.faults) timeline.after(script, fault.at, () => strike(world, fault))

  const broken = (): boolean => ledger.violations.length + observer.violations.length > 0
  await timeline.run(broken, start + plan.horizonMs)
  if (!broken()) await endInPeace(world, plan, broken)
  const stuck = broken() ? [] : await findStuck(world, store)
  await close()
  return {
    violations: [...ledger.violations, ...observer.violations, ...stuck],
    hits: world.hits,
    runs: ledger.accounts.size,
  }
}

async function openStore(plan: Plan): Promise<{ store: Store; close: () => Promise<void> }> {
  if (plan.store === 'memory') {
    const store = createMemoryStore()
    return { store, close: store.close }
  }
  const { store, database } = openSqlStore((tables ??= await makeTables()))
  return {
    // All processes share one connection, whose number never changes: their wake-ups are messages.
    store: { ...store, version: async () => null },
    async close() {
      await store.close()
      database.close()
    },
  }
}

/** Made once: a copy of them costs less than another migration. */
let tables: Buffer | null = null

async function makeTables(): Promise<Buffer> {
  const { store, database } = openSqlStore(':memory:')
  await store.migrate()
  const copy = database.serialize()
  await store.close()
  database.close()
  return copy
}

function openSqlStore(from: string | Buffer) {
  const database = new BetterSqlite(from)
  const { store } = createSqlStore({ dialect: sqliteDialect({ database }), env: createEnv() })
  return { store, database }
}

/** Refuses a transaction that holds the value which no database takes. */
function refusing(store: Store): Store {
  return {
    ...store,
    async write(batch, now) {
      const entries = batch.commits.flatMap((commit) => commit.entries)
      if (entries.some(({ kind, data }) => kind === 'step:complete' && data.includes(REFUSED))) {
        throw new RejectedWriteError('simulated: refused')
      }
      return store.write(batch, now)
    },
  }
}

function act(world: World, action: Action): void {
  const process = pick(world.processes, action.who)
  if (process === undefined) return
  // Whether an action may happen is for the system to say; it may also be without an answer for ever.
  void ask(world, process, action.kind, perform(world, process, action)).catch(() => {})
}

/** Whoever asks something of a process that lives gets an answer, if only that there is none. */
async function ask(
  { asked }: World,
  process: Process,
  what: string,
  answer: Promise<void>,
): Promise<void> {
  asked.set(answer, [process, what])
  try {
    await answer
  } finally {
    asked.delete(answer)
  }
}

async function perform(world: World, { durably }: Process, action: Action): Promise<void> {
  switch (action.kind) {
    case 'trigger': {
      const run = await trigger(durably, action.trigger)
      return world.observer.acknowledged(run)
    }
    case 'batch': {
      for (const run of await Promise.all(action.triggers.map((plan) => trigger(durably, plan)))) {
        world.observer.acknowledged(run)
      }
      return
    }
    case 'pause':
      return durably.pauseJob(action.job)
    case 'resume':
      return durably.resumeJob(action.job)
    case 'purge':
      return void (await durably.purgeRuns({ before: new Date(world.timeline.now() - 5000) }))
    case 'signal':
    case 'complete':
    case 'wake':
      return send(world, durably, action)
    default:
      return actOnRun(world, durably, action)
  }
}

/** Sends something to a run, to one that would take it if there is one. */
async function send(
  { ledger, observer }: World,
  durably: Process['durably'],
  action: Extract<Action, { kind: 'signal' | 'complete' | 'wake' }>,
): Promise<void> {
  const active = [...ledger.accounts.values()].filter(({ deleted }) => !deleted)
  const wanted = action.kind === 'signal' && action.who < 0.4 ? 'running' : 'waiting'
  const fitting = active.filter(({ status }) => status === wanted)
  const run = pick(fitting.length > 0 ? fitting : active, action.which)
  if (run === undefined) return
  if (action.kind === 'signal') return durably.signal(run.id, action.name, `sent-${action.which}`)
  const name = run.waits.find(({ kind }) => kind === 'sleep' || kind === 'retry')?.name
  if (action.kind === 'wake') return durably.wake(run.id, name ?? 'nothing')
  const token = observer.tokens(run.id).at(-1)
  if (token !== undefined) await durably.completeToken(token, `done-${action.which}`)
}

async function actOnRun(
  world: World,
  durably: Process['durably'],
  { kind, which }: Extract<Action, { kind: 'cancel' | 'retry' | 'delete' | 'cancelThenRetry' }>,
): Promise<void> {
  const runId = pick(worthwhile(world, kind), which)
  if (runId === undefined) return
  if (kind === 'retry') return durably.retry(runId)
  if (kind === 'delete') return durably.deleteRun(runId)
  await durably.cancel(runId)
  if (kind === 'cancelThenRetry') await durably.retry(runId)
}

/** The runs with which it makes a difference; one in four times any, so that refusals come up too. */
function worthwhile({ ledger, timeline }: World, kind: string): string[] {
  const all = [...ledger.accounts.values()]
  const ids = (runs: readonly (typeof all)[number][]): string[] => runs.map(({ id }) => id)
  if (Math.floor(timeline.now()) % 4 === 0) return ids(all)
  const wanted = all.filter(({ status, deleted }) => {
    if (deleted) return false
    if (kind === 'delete') return isTerminal(status)
    if (kind === 'retry') return isLegal('retry', status)
    return status === 'running'
  })
  return ids(wanted.length > 0 ? wanted : all)
}

async function trigger(
  { jobs }: Process['durably'],
  { job, ...options }: TriggerPlan,
): Promise<string> {
  const handle = (jobs as Record<string, { trigger: Trigger }>)[job]
  if (handle === undefined) throw new Error(`no job ${job}`)
  return (await handle.trigger({}, options)).id
}

type Trigger = (
  input: object,
  options: Omit<TriggerPlan, 'job'>,
) => Promise<{ readonly id: string }>

function strike(world: World, fault: Fault): void {
  const process = pick(world.processes, fault.who)
  if (process === undefined) return
  const { timeline } = world
  const { durably, connection } = process
  switch (fault.kind) {
    case 'crash':
    case 'error':
    case 'slow':
    case 'late':
    case 'silent':
      return connection.inject(fault)
    case 'kill':
      return world.replace(process)
    case 'drain':
    case 'release': {
      const stopped = durably.stop(fault.kind === 'release' ? { timeout: 50 } : {})
      const restarted = stopped.then(() => durably.start())
      return void ask(world, process, fault.kind, restarted)
    }
    case 'freeze':
      process.frozenUntil = timeline.now() + fault.ms
      return
    case 'outage':
      return connection.breakUntil(timeline.now() + fault.ms)
    case 'clock':
      process.skew = fault.ms
      return
    case 'wakeups':
      world.wakeups = fault.how
  }
}

/** Nothing goes wrong any more, every job may run: all there is to do must be done in time. */
async function endInPeace(world: World, plan: Plan, broken: () => boolean): Promise<void> {
  const { timeline, ledger, processes } = world
  world.wakeups = null
  for (const process of processes) process.skew = 0
  for (const { name } of plan.jobs) {
    void processes[0]?.durably.resumeJob(name).catch(() => {})
  }
  const done = (): boolean =>
    broken() || [...ledger.accounts.values()].every((run) => run.deleted || isTerminal(run.status))
  const isAnswered = (): boolean => [...world.asked.values()].every(([process]) => !process.alive)
  const end = timeline.now() + PEACE_MS
  const aftermathMs = plan.leaseMs + POLL_MS
  // Where nothing is left to happen, time stands still: the passes are bounded too.
  for (let passes = PEACE_MS / aftermathMs; passes > 0; passes--) {
    await timeline.run(done, end)
    // What frozen processes and late answers still bring about.
    await timeline.run(broken, timeline.now() + aftermathMs)
    if (broken() || (done() && isAnswered())) return
    answerAll(world)
  }
}

/** Every run that waits for someone gets what it waits for. */
function answerAll({ ledger, observer, processes }: World): void {
  const durably = processes[0]?.durably
  for (const { id, status, waits } of ledger.accounts.values()) {
    if (status !== 'waiting') continue
    for (const { kind, name } of waits) {
      if (kind === 'signal') void durably?.signal(id, name, 'at last').catch(() => {})
    }
    for (const token of observer.tokens(id)) {
      void durably?.completeToken(token, 'at last').catch(() => {})
    }
  }
}

/** Runs that were promised and are gone, or that nobody brings to an end; journals with gaps. */
async function findStuck({ ledger, observer, asked }: World, store: Store): Promise<string[]> {
  const found: string[] = []
  for (const [process, what] of asked.values()) {
    if (process.alive) found.push(`${process.name} never answered a ${what}`)
  }
  for (const id of observer.triggered) {
    if (!ledger.accounts.has(id)) found.push(`${id} was acknowledged and never made`)
  }
  for (const { id, status, deleted, lastSeq } of ledger.accounts.values()) {
    const page = await store.journal(id, 0, 100_000)
    if (deleted !== (page === null)) found.push(`${id} is ${deleted ? 'still there' : 'gone'}`)
    if (page === null) continue
    if (!isTerminal(status)) found.push(`${id} is ${status} for ever`)
    if (page.run.status !== status) found.push(`${id} is ${page.run.status}, not ${status}`)
    const gap = page.entries.findIndex(({ seq }, i) => seq !== i + 1)
    if (gap !== -1 || page.entries.length !== lastSeq) found.push(`the journal of ${id} has a gap`)
  }
  return found
}

function pick<T>(from: readonly T[], share: number): T | undefined {
  return from[Math.floor(share * from.length)]
}
