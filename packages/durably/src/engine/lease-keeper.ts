import type { Dictionary } from '../core/dictionary.ts'
import { atMost, pause, type Env } from '../core/env.ts'
import { isHeld, isParked, LEASE_PARTS, wasCancelled } from '../core/lease.ts'
import type { Fact, Held, Lease, Store, WorkerLease } from '../store/store.ts'
import { createBackoff, type Backoff } from './backoff.ts'
import type { Execution } from './execution.ts'

/** Keeps a worker's lease alive, and learns from its renewals which runs it still has. */
export interface LeaseKeeper {
  /**
   * Runs come with a claim that was sent when `sentAt` had elapsed, and the lease was renewed with them where much of
   * it was gone. Returns until when they are held at least.
   */
  claimed(sentAt: number): number
  /** No runs came with a claim, which may have made the worker's row before others were faster. */
  claimedNone(): void
  /** Runs may have come with a claim whose answer was lost. */
  claimedUnheard(): void
  /** Its execution is over, and the run may be held still: then it is handed back with the next renewal. */
  leftBehind(lease: Lease): void
  /**
   * Null while the run is held, by this process's clock. Else, as after a sleep of the machine, it resolves when it is
   * held again, or the execution has heard that it is another's by now.
   */
  confirm(execution: Execution): Promise<void> | null
  /**
   * Undefined unless the lease was handed back before the answer came that it had been claimed; what that changed,
   * for those who hear of the claim first.
   */
  handedBack(lease: Lease): Promise<Fact[]> | undefined
  /** Asks now whether each run is still held: someone may have cancelled or taken one. */
  check(): Promise<void>
  /** Nothing executes any more: gives the lease up, so that nothing of the worker is left. */
  leave(): Promise<void>
}

export interface LeaseKeeperOptions {
  readonly store: Store
  readonly env: Env
  readonly worker: WorkerLease
  readonly heartbeatMs: number
  readonly executions: Pick<Dictionary<Execution>, 'size' | 'get' | 'has' | 'values'>
  readonly onError: (error: unknown, context: string) => void
  /** What became of runs that were left behind. */
  readonly onHandedBack: (facts: readonly Fact[]) => void
}

/** A worker that has no runs only says that it is there, and never more often than one that has some. */
const IDLE_HEARTBEAT_MS = 60_000

// A database that is away keeps nobody from stopping.
const LEAVE_WITHIN_MS = 1000

type Strangers = ReadonlyMap<string, Lease>

interface State extends LeaseKeeperOptions {
  /** The worker may have a row. */
  isKnown: boolean
  /** When a renewal was tried last, whatever came of it, or from when on a claim has left a whole lease. */
  renewedAt: number
  renewing: Promise<boolean> | null
  /** A renewal that executions wait for, and the pause after it if it failed. */
  confirming: Promise<void> | null
  readonly backoff: Backoff
  /**
   * Runs that nobody here executes: the last renewal named them, by a claim whose answer was lost or is on its way; or
   * their execution gave them up since.
   */
  strangers: Strangers
  /** Those of them whose claims were heard of: nobody else says that they are handed back. */
  readonly leftBehind: Set<string>
  /** When it was last unknown what is held, until a later renewal named no strangers. */
  unsureAt: number | null
  readonly handedBack: Map<string, Promise<Fact[]>>
  timer: { readonly dueAt: number; readonly cancel: () => void } | null
  stopped: boolean
}

export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const keeper: State = {
    ...options,
    isKnown: false,
    renewedAt: options.env.elapsed(),
    renewing: null,
    confirming: null,
    backoff: createBackoff(options.env),
    strangers: new Map(),
    leftBehind: new Set(),
    unsureAt: null,
    handedBack: new Map(),
    timer: null,
    stopped: false,
  }
  schedule(keeper)
  return {
    claimed(sentAt) {
      const { leaseMs } = keeper.worker
      keeper.isKnown = true
      const youngest = Math.floor(sentAt - leaseMs / LEASE_PARTS)
      keeper.renewedAt = Math.max(keeper.renewedAt, youngest)
      schedule(keeper, true)
      return youngest + leaseMs
    },
    claimedNone() {
      keeper.isKnown = true
    },
    claimedUnheard() {
      keeper.isKnown = true
      becomeUnsure(keeper)
    },
    leftBehind(lease) {
      keeper.leftBehind.add(nameOf(lease))
      keeper.strangers = new Map([...keeper.strangers, [nameOf(lease), lease]])
      becomeUnsure(keeper)
    },
    confirm: (execution) => (isOpen(keeper, execution) ? confirm(keeper, execution) : null),
    handedBack(lease) {
      const release = keeper.handedBack.get(nameOf(lease))
      keeper.handedBack.delete(nameOf(lease))
      return release
    },
    async check() {
      await reconcile(keeper, (store) => store.leases(keeper.worker.workerId))
    },
    leave: () => leave(keeper),
  }
}

/** A timer that fires too early costs less than one made anew with each claim. */
function schedule(keeper: State, isBusy = mayHoldRuns(keeper)): void {
  const { env, timer } = keeper
  // What was due while the one before went unanswered is not late yet.
  const dueAt = Math.max(nextRenewal(keeper, isBusy), env.elapsed())
  if (keeper.stopped || (timer !== null && timer.dueAt <= dueAt)) return
  timer?.cancel()
  const fire = (): void => {
    keeper.timer = null
    if (nextRenewal(keeper) > env.elapsed()) schedule(keeper)
    else void renewOnce(keeper, dueAt)
  }
  keeper.timer = { dueAt, cancel: env.after(dueAt - env.elapsed(), fire) }
}

function nextRenewal(keeper: State, isBusy = mayHoldRuns(keeper)): number {
  const { renewedAt, heartbeatMs } = keeper
  return renewedAt + (isBusy ? heartbeatMs : Math.max(heartbeatMs, IDLE_HEARTBEAT_MS))
}

/** Also such that nobody here executes: they wait for the next renewals to be handed back. */
function mayHoldRuns({ executions, strangers, unsureAt }: State): boolean {
  return executions.size + strangers.size > 0 || unsureAt !== null
}

function becomeUnsure(keeper: State): void {
  keeper.unsureAt = keeper.env.elapsed()
  schedule(keeper)
}

/** Whether it is not known that the run is held, or that it is not. */
function isOpen({ env, executions, stopped }: State, execution: Execution): boolean {
  const isLeased = env.elapsed() < execution.leasedUntil
  return !isLeased && !stopped && executions.get(execution.run.id) === execution
}

/** A renewal that was under way when the execution began says nothing of it: then there is another one. */
async function confirm(keeper: State, execution: Execution): Promise<void> {
  while (isOpen(keeper, execution)) {
    keeper.confirming ??= renewPatiently(keeper).finally(() => {
      keeper.confirming = null
    })
    await keeper.confirming
  }
}

async function renewPatiently(keeper: State): Promise<void> {
  const { env, timer, backoff } = keeper
  const isRenewed = await renewOnce(keeper, Math.min(env.elapsed(), timer?.dueAt ?? Infinity))
  if (isRenewed) backoff.reset()
  else await pause(env, backoff.next())
}

/** Whoever wants it renewed while it is, waits for that. Answers whether it was. */
function renewOnce(keeper: State, dueAt: number): Promise<boolean> {
  keeper.renewing ??= renew(keeper, dueAt).finally(() => {
    keeper.renewing = null
  })
  return keeper.renewing
}

async function renew(keeper: State, dueAt: number): Promise<boolean> {
  const { env, worker, onError } = keeper
  const startedAt = env.elapsed()
  keeper.renewedAt = startedAt
  keeper.isKnown = true
  const lateMs = startedAt - dueAt
  if (lateMs > worker.leaseMs / 2 && keeper.executions.size > 0) onError(tooLate(lateMs), CONTEXT)
  let isRenewed = false
  try {
    const leasedUntil = startedAt + worker.leaseMs
    const ask = (store: Store) => store.renew(worker, env.now())
    const strangers = await reconcile(keeper, ask, (execution) => {
      execution.leasedUntil = Math.max(execution.leasedUntil, leasedUntil)
    })
    isRenewed = true
    for (const [name, lease] of strangers) {
      if (keeper.strangers.has(name)) await handBack(keeper, lease)
    }
    keeper.strangers = strangers
    for (const name of keeper.leftBehind) if (!strangers.has(name)) keeper.leftBehind.delete(name)
    const { unsureAt } = keeper
    if (strangers.size === 0 && unsureAt !== null && unsureAt < startedAt) keeper.unsureAt = null
  } catch (error) {
    // Tried again with the next heartbeat: until someone takes the runs, nothing is lost.
    onError(error, CONTEXT)
  }
  schedule(keeper)
  return isRenewed
}

const CONTEXT = 'renewing the lease'

function tooLate(lateMs: number): Error {
  return new Error(
    `The lease was renewed ${lateMs} ms late: code of a job blocks the event loop. Split the work into steps, or move it to a worker thread.`,
  )
}

/** Compares what the database says this worker holds with what it executes. Returns what it does not execute. */
async function reconcile(
  keeper: State,
  ask: (store: Store) => Promise<Held[]>,
  onHeld: (execution: Execution) => void = () => {},
): Promise<Strangers> {
  const { store, executions } = keeper
  const asked = executions.values()
  const leases = await ask(store)
  const held = new Map(leases.map((lease) => [lease.runId, lease]))
  for (const execution of asked) {
    const { runId, generation } = execution.lease
    const lease = held.get(runId)
    if (lease?.generation === generation) {
      onHeld(execution)
      execution.mail(lease.inbox)
    } else await giveUp(keeper, execution)
  }
  const strangers = leases.filter(({ runId }) => !executions.has(runId))
  return new Map(strangers.map((lease) => [nameOf(lease), lease]))
}

async function giveUp({ store }: State, execution: Execution): Promise<void> {
  const { runId, generation } = execution.lease
  const run = await store.run(runId)
  if (run === null) execution.lose()
  else if (wasCancelled(run, generation)) execution.cancel()
  // Where it has parked the run, it is about to hear so.
  else if (!isParked(run, generation) && !isHeld(run, generation)) execution.lose()
}

async function handBack(keeper: State, lease: Lease): Promise<void> {
  const name = nameOf(lease)
  const release = releaseOf(keeper, lease)
  // The claim may be answered before this is.
  if (!keeper.leftBehind.has(name)) keeper.handedBack.set(name, release)
  const facts = await release
  if (keeper.leftBehind.delete(name)) keeper.onHandedBack(facts)
}

async function releaseOf({ store, env }: State, { runId, generation }: Lease): Promise<Fact[]> {
  const acted = await store.act({ transition: 'release', runId, generation }, env.now())
  return acted.done ? [acted] : []
}

async function leave(keeper: State): Promise<void> {
  const { store, env, worker, onError } = keeper
  keeper.stopped = true
  keeper.timer?.cancel()
  if (!keeper.isKnown) return
  const retired = Promise.resolve(keeper.renewing)
    .then(() => store.retire(worker.workerId, []))
    .catch((error: unknown) => onError(error, 'giving up the lease'))
  await atMost(env, LEAVE_WITHIN_MS, retired)
}

function nameOf({ runId, generation }: Lease): string {
  return `${runId} ${generation}`
}
