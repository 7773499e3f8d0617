import { createDictionary, type Dictionary } from '../core/dictionary.ts'
import type { JobDefinition } from '../core/job.ts'
import { UnusableStoreError, type Claim, type Fact } from '../store/store.ts'
import { createBackoff } from './backoff.ts'
import { execute, handBack, type Execution, type ExecutionOptions } from './execution.ts'
import { createLeaseKeeper, type LeaseKeeper } from './lease-keeper.ts'
import { createParkedRuns, type ParkedRuns } from './parked-runs.ts'
import { createRest, type Rest } from './rest.ts'

/** A worker from its start to the end of its drain. */
export interface Session {
  readonly workerId: string
  /** Something can be claimed, now or at `dueAt`. It only makes the session look earlier. */
  poke(dueAt?: number | null): void
  /** Another process may have changed something: what can be claimed, or who holds which run. */
  pokeFromElsewhere(): void
  /** The run was cancelled by this process. */
  cancelled(runId: string): void
  /** This process sent the run something: its mailbox has come so far. */
  mailed(runId: string, inbox: number): void
  /** These runs have ended: others may wait for that. */
  ended(runIds: ReadonlySet<string>): void
  /** Claims nothing more; `over` resolves when nothing executes any more. */
  stop(): void
  /** Hands all runs back for other workers. */
  abandon(): void
  /** Rejects with what kept it from going on until nothing was due. */
  readonly over: Promise<void>
  /** Runs whose execution ended here. */
  executed(): number
}

/** What the session itself tells an execution. */
type BySession = 'confirmLease' | 'onFinishing' | 'onParked' | 'onWoken'

export interface SessionOptions extends Omit<ExecutionOptions, BySession> {
  readonly jobs: ReadonlyMap<string, JobDefinition>
  readonly slots: number
  readonly pollMs: number
  readonly heartbeatMs: number
  readonly leaseMs: number
  readonly workerName: string | null
  /** The ids of this instance's other workers. */
  readonly livingWorkers: () => readonly string[]
  readonly onFacts: (facts: readonly Fact[]) => void
  /** Runs to claim at most, then it stops. */
  readonly maxRuns: number
  /** Stops when nothing is due. */
  readonly untilIdle: boolean
}

interface State extends SessionOptions {
  readonly workerId: string
  readonly keeper: LeaseKeeper
  readonly rest: Rest
  /** What each execution is given. */
  readonly execution: ExecutionOptions
  readonly executions: Dictionary<Execution>
  readonly parked: ParkedRuns
  /** How many executions use a slot: those whose last write is on its way do not. */
  occupied: number
  /** What the ids of dead workers begin with that had this one's name, until it was said that they are dead. */
  predecessors: string | null
  /** There may be something to claim: claim without looking first. */
  hinted: boolean
  /** How much time is to have elapsed when it looks next. */
  lookAt: number
  claimed: number
  executed: number
  stopping: boolean
  checking: boolean
  /** Another process may have changed something since the check that is under way began. */
  unchecked: boolean
  /** How often another process may have changed something. */
  hints: number
  /** Resolves when it need not be waited for any more. */
  readonly gone: PromiseWithResolvers<void>
  cancelLeaving: (() => void) | null
}

const PROMOTE_LIMIT = 1000
// In a row, before anything is claimed.
const MAX_PROMOTIONS = 20
// Others who claim at the same moment are through by then.
const CONTENTION_MS = 5
// Others' commits may follow each other closely.
const SOON_MS = 10
// Between two batches of due runs.
const BREATH_MS = 1
const LEAVE_WITHIN_MS = 5000

export function createSession(options: SessionOptions): Session {
  const { env, store, leaseMs } = options
  const { workerName, untilIdle } = options
  // In quotes: no name begins another one.
  const prefix = workerName === null ? '' : JSON.stringify(workerName)
  const workerId = `${prefix}${env.id()}`
  const executions = createDictionary<Execution>()
  const session: State = {
    ...options,
    workerId,
    executions,
    keeper: createLeaseKeeper({
      ...options,
      store,
      executions,
      worker: { workerId, leaseMs },
      onHandedBack(facts) {
        options.onFacts(facts)
        poke(session, null)
      },
    }),
    rest: createRest(env),
    execution: {
      ...executionOptions(options),
      confirmLease: (execution) => session.keeper.confirm(execution),
      onFinishing: (execution) => vacate(session, execution),
      onParked: (wakeAt) => wakeAt !== null && poke(session, wakeAt),
      onWoken: options.onFacts,
    },
    parked: createParkedRuns(),
    occupied: 0,
    predecessors: prefix === '' || untilIdle ? null : prefix,
    hinted: true,
    lookAt: Number.NEGATIVE_INFINITY,
    claimed: 0,
    executed: 0,
    stopping: false,
    checking: false,
    unchecked: false,
    hints: 0,
    gone: Promise.withResolvers<void>(),
    cancelLeaving: null,
  }
  const over = Promise.race([workAndDrain(session), session.gone.promise])
  return {
    workerId,
    poke: (dueAt = null) => poke(session, dueAt),
    pokeFromElsewhere: () => pokeFromElsewhere(session),
    cancelled(runId) {
      executions.get(runId)?.cancel()
      session.parked.drop(runId)
    },
    mailed: (runId, inbox) => executions.get(runId)?.mail(inbox),
    ended: (runIds) => executions.values().forEach((execution) => execution.told(runIds)),
    stop: () => stop(session),
    abandon() {
      for (const execution of executions.values()) execution.release()
      leave(session)
    },
    over,
    executed: () => session.executed,
  }
}

/** No more than an execution needs: each run copies it. */
function executionOptions({
  store,
  writer,
  env,
  codec,
  scope,
  maxCrashes,
  onTick,
  onError,
}: SessionOptions): Omit<ExecutionOptions, BySession> {
  return { store, writer, env, codec, scope, maxCrashes, onTick, onError }
}

async function workAndDrain(session: State): Promise<void> {
  try {
    await work(session)
  } finally {
    await drained(session)
    session.cancelLeaving?.()
  }
}

/** The worker's loop: do what there is to do, then rest until there may be more. */
async function work(session: State): Promise<void> {
  const { env, rest, onError } = session
  const backoff = createBackoff(env)
  while (!session.stopping) {
    try {
      if (await round(session)) backoff.reset()
    } catch (error) {
      // Whoever waits for it to be idle would wait for ever.
      if (session.untilIdle && error instanceof UnusableStoreError) throw error
      onError(error, 'looking for runs')
      session.keeper.claimedUnheard()
      session.lookAt = env.elapsed() + backoff.next()
    }
    if (!session.stopping) await rest.until(session.lookAt)
  }
}

/** Claims what can be claimed, and sets when to look again. Answers whether it looked: timers may be a moment early. */
async function round(session: State): Promise<boolean> {
  const { env, pollMs, predecessors } = session
  if (predecessors !== null) {
    // What is not answered may be done later, and must not end the lease of whoever asked.
    await session.store.retire(predecessors, [...session.livingWorkers(), session.workerId])
    session.predecessors = null
  }
  if (session.hinted && room(session) > 0) {
    session.hinted = false
    await claim(session)
  }
  if (session.stopping || env.elapsed() < session.lookAt) return false
  // What comes up meanwhile makes it earlier again.
  session.lookAt = Number.POSITIVE_INFINITY
  const { ready, nextDueAt, orphans } = await session.store.look(namesOf(session), env.now())
  const due = nextDueAt !== null && nextDueAt <= env.now()
  if (due) await promote(session)
  if (orphans) await reclaim(session)
  const contended = ready && room(session) > 0 && (await claim(session)) === 0
  const inMs = due ? BREATH_MS : contended ? CONTENTION_MS * (1 + env.random()) : pollMs
  const untilDueMs = Math.max((nextDueAt ?? Infinity) - env.now(), BREATH_MS)
  lookWithin(session, Math.min(inMs, untilDueMs))
  // A run that ended meanwhile may have made another one.
  const isSeenWhole = env.elapsed() < session.lookAt
  if (!due && isSeenWhole && isIdle(session, ready)) stop(session)
  return true
}

/** Makes claimable what is due, also where there is no room for it here: others may have some. */
async function promote({ store, env, onFacts }: State): Promise<void> {
  for (let i = 0; i < MAX_PROMOTIONS; i++) {
    const facts = await store.promote(PROMOTE_LIMIT, env.now())
    onFacts(facts)
    if (facts.length < PROMOTE_LIMIT) return
  }
}

/** How many runs may be claimed now: none once it drains, though it may have looked for some before. */
function room({ stopping, slots, occupied, maxRuns, claimed }: State): number {
  return stopping ? 0 : Math.min(slots - occupied, maxRuns - claimed)
}

/** Whether a session that ends when nothing is due has come to its end. */
function isIdle(session: State, ready: boolean): boolean {
  const { untilIdle, executions, maxRuns, claimed } = session
  return untilIdle && executions.size === 0 && (!ready || claimed >= maxRuns)
}

async function claim(session: State): Promise<number> {
  const { writer, workerId, leaseMs } = session
  const jobs = namesOf(session)
  if (jobs.length === 0) return 0
  const sent = sentNow(session)
  const claims = await writer.claim({ workerId, leaseMs, jobs, limit: room(session) })
  if (claims.length === 0) session.keeper.claimedNone()
  take(session, claims, sent)
  return claims.length
}

async function reclaim(session: State): Promise<void> {
  const { store, env, workerId, leaseMs, maxCrashes } = session
  const limit = Math.max(0, room(session))
  const request = { workerId, leaseMs, jobs: namesOf(session), limit, maxCrashes }
  const sent = sentNow(session)
  const { claimed, others } = await store.reclaim(request, env.now())
  session.onFacts([...others, ...claimed])
  take(session, claimed, sent)
}

/** How things stood when a claim was sent. */
interface SentAt extends Pick<State, 'hints'> {
  readonly elapsed: number
}

function sentNow({ env, hints }: State): SentAt {
  return { elapsed: env.elapsed(), hints }
}

function take(session: State, claims: readonly Claim[], sent: SentAt): void {
  if (claims.length === 0) return
  const leasedUntil = session.keeper.claimed(sent.elapsed)
  for (const claim of claims) {
    const { run } = claim
    const release = session.keeper.handedBack({ runId: run.id, generation: run.generation })
    if (release !== undefined) {
      // The keeper says what goes wrong with it.
      release.then(session.onFacts, () => {})
      continue
    }
    const execution = begin(session, claim)
    execution.leasedUntil = leasedUntil
    session.claimed++
    session.occupied++
    session.executions.set(run.id, execution)
    void execution.over.then(() => ended(session, execution))
  }
  // What others did to these runs since, nobody looked for.
  if (session.hints !== sent.hints) void checkLeases(session)
}

/** Goes on where the run's code was left in memory, if nobody had the run since. */
function begin(session: State, claim: Claim): Execution {
  const { executions, parked, jobs, stopping } = session
  const { id, jobName } = claim.run
  const before = executions.get(id)
  const kept = parked.take(id)
  const code = before?.parked() ?? kept
  before?.lose()
  const job = jobs.get(jobName)
  if (stopping || job === undefined) {
    code?.drop()
    return handBack(claim, session.execution)
  }
  if (code?.isNext(claim) === true) return code.resume(claim)
  code?.drop()
  return execute(claim, job, session.execution)
}

/** The slot is free: what is claimed into it shares the transaction with the last write of the run. */
function vacate(session: State, execution: Execution): void {
  if (!execution.usesSlot) return
  execution.usesSlot = false
  session.occupied--
  poke(session, null)
}

function ended(session: State, execution: Execution): void {
  const { executions } = session
  session.executed++
  if (execution.wasLost()) session.keeper.leftBehind(execution.lease)
  if (executions.get(execution.run.id) === execution) {
    executions.delete(execution.run.id)
    const code = execution.parked()
    if (code !== null) session.parked.keep(execution.run.id, code)
  }
  vacate(session, execution)
  if (session.stopping && executions.size === 0) leave(session)
  if (session.untilIdle && executions.size === 0) session.lookAt = Number.NEGATIVE_INFINITY
  session.rest.call()
}

function lookWithin(session: State, ms: number): void {
  session.lookAt = Math.min(session.lookAt, session.env.elapsed() + ms)
}

function poke(session: State, dueAt: number | null): void {
  if (dueAt === null) session.hinted = true
  else lookWithin(session, Math.max(0, dueAt - session.env.now()))
  session.rest.call()
}

/** What others made claimable is claimed at once; what else they may have done can wait for a moment. */
function pokeFromElsewhere(session: State): void {
  session.hinted = true
  session.hints++
  lookWithin(session, SOON_MS)
  session.rest.call()
  void checkLeases(session)
}

/** At most one check at a time; one that is asked for meanwhile comes after it, since it may have seen too little. */
async function checkLeases(session: State): Promise<void> {
  session.unchecked = true
  if (session.checking) return
  session.checking = true
  while (session.unchecked && session.executions.size > 0) {
    session.unchecked = false
    try {
      await session.keeper.check()
    } catch (error) {
      session.onError(error, 'checking the lease')
    }
  }
  session.checking = false
}

function stop(session: State): void {
  session.stopping = true
  session.rest.call()
  if (session.executions.size === 0) leave(session)
}

/** Nothing is left to do but to write: a database that is silent keeps nobody from stopping, the lease runs out anyway. */
function leave(session: State): void {
  session.cancelLeaving ??= session.env.after(LEAVE_WITHIN_MS, session.gone.resolve)
}

async function drained(session: State): Promise<void> {
  while (session.executions.size > 0) {
    await Promise.all(session.executions.values().map(({ over }) => over))
  }
  session.parked.dropAll()
  await session.keeper.leave()
}

function namesOf({ jobs }: State): string[] {
  return [...jobs.keys()]
}
