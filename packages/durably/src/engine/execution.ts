import { encode, type Codec, type Encoded } from '../core/codec.ts'
import { parseDuration } from '../core/parse-duration.ts'
import { pause, type Env, type Scope } from '../core/env.ts'
import { describeError } from '../core/describe-error.ts'
import { CancelledError, LeaseLostError, TimeoutError } from '../core/error.ts'
import type { JobDefinition } from '../core/job.ts'
import { parseWith } from '../core/schema.ts'
import { entryData, type EntryDataByKind } from '../core/journal.ts'
import { decodePayload, type RunRecord } from '../core/run.ts'
import { transitions } from '../core/transitions.ts'
import type { Claim, Fact, Lease, Store, Transition } from '../store/store.ts'
import type { StepScope } from './attempts.ts'
import { createBackoff } from './backoff.ts'
import { createDeliveries } from './deliveries.ts'
import { readHistory, type History } from './history.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { createRunClock, type RunClock } from './run-clock.ts'
import { createSteps, type OnTick, type Steps } from './steps.ts'
import type { ParkedUntil } from './suspension.ts'
import type { Writer } from './writer.ts'

/** One execution of a run, from its claim until it ended or the run is another's. */
export interface Execution {
  readonly run: RunRecord
  readonly lease: Lease
  /** Whether it has a slot of its worker still. */
  usesSlot: boolean
  /** No other worker has the run before so much time has elapsed. */
  leasedUntil: number
  /** Resolves when nothing of it can be written any more. */
  readonly over: Promise<void>
  /** The run was cancelled. */
  cancel(): void
  /** Another worker has the run, or may have it. */
  lose(): void
  /** Gives the run back for another worker to continue. */
  release(): void
  /** The run was sent something: its mailbox has come so far. */
  mail(inbox: number): void
  /** These runs have ended: it was told so, if it waits for one. */
  told(runIds: ReadonlySet<string>): void
  /** Its code, if the execution is over because the run was parked. */
  parked(): Parked | null
  /** Whether the execution is over without having ended, parked or released the run. */
  wasLost(): boolean
}

/** The code of a parked run, kept in memory to go on without a replay. */
export interface Parked {
  /** Whether the claim is the very next one, so that nobody else had the run in between. */
  isNext(claim: Claim): boolean
  resume(claim: Claim): Execution
  /** Another worker has the run, may have it, or is to: the code does not go on. */
  drop(): void
}

export interface ExecutionOptions {
  readonly store: Store
  readonly writer: Writer
  readonly env: Env
  readonly codec: Codec
  readonly scope: Scope<StepScope> | null
  readonly maxCrashes: number
  /** Null while the run is held. Else resolves when it is known whether it still is. */
  readonly confirmLease: (execution: Execution) => Promise<void> | null
  readonly onTick: OnTick
  /** The job's function is done, and the last write about to leave: the slot is free. */
  readonly onFinishing: (execution: Execution) => void
  /** The run was parked, and is due to be woken then; null: by what it is sent alone. */
  readonly onParked: (wakeAt: number | null) => void
  /** A parked run was made claimable, since its code goes on by itself. */
  readonly onWoken: (facts: readonly Fact[]) => void
  readonly onError: (error: unknown, context: string, run?: RunRecord) => void
}

interface Ending extends Execution {
  end(parked: Parked | null, wasLost: boolean): void
}

/** Of a run's code, from its beginning to its end: one execution, or several with parks between them. */
interface Life extends ExecutionOptions {
  readonly env: RunClock
  run: RunRecord
  execution: Ending
  readonly outbox: Outbox
  readonly aborter: AbortController
  /** When it has taken too long; null: never. */
  deadline: number | null
  cancelDeadline: (() => void) | null
  steps: Steps | null
  /** Nothing can be written now. */
  ended: boolean
  /** How far its mailbox had come when there were no steps yet to hear of it. */
  inbox: number
  /** How the run was parked last. */
  parkedUntil: ParkedUntil | null
}

/** Executes a claimed run. */
export function execute(claim: Claim, job: JobDefinition, options: ExecutionOptions): Execution {
  const life = begin(claim, options)
  void live(life, claim, job).then(() => options.onFinishing(life.execution))
  return life.execution
}

/** Gives a claimed run back without having started it. */
export function handBack(claim: Claim, options: ExecutionOptions): Execution {
  const life = begin(claim, options)
  release(life)
  return life.execution
}

function begin(claim: Claim, options: ExecutionOptions): Life {
  const { run, entry } = claim
  const env = createRunClock(options.env)
  const outbox = createOutbox({
    run,
    lastSeq: entry.seq,
    writer: options.writer,
    env,
    onLost: (answer) => (answer === 'cancelled' ? cancel(life) : lose(life)),
    onQuiet: () => life.steps?.quiet(),
  })
  const life: Life = {
    ...options,
    env,
    run,
    execution: createExecution(run, () => life),
    outbox,
    aborter: new AbortController(),
    deadline: null,
    cancelDeadline: null,
    steps: null,
    ended: false,
    inbox: 0,
    parkedUntil: null,
  }
  return life
}

/** A part of the life: what comes after its end does not touch the next one. */
function createExecution(run: RunRecord, lifeOf: () => Life): Ending {
  const { promise: over, resolve } = Promise.withResolvers<void>()
  let parked: Parked | null = null
  let wasLost = false
  const ifCurrent = (act: (life: Life) => void) => (): void => {
    const life = lifeOf()
    if (life.execution === execution) act(life)
  }
  const execution: Ending = {
    run,
    lease: { runId: run.id, generation: run.generation },
    usesSlot: true,
    leasedUntil: 0,
    over,
    cancel: ifCurrent(cancel),
    lose: ifCurrent(lose),
    release: ifCurrent(release),
    mail: (inbox) =>
      ifCurrent((life) => {
        if (life.steps === null) life.inbox = Math.max(life.inbox, inbox)
        else life.steps.mail(inbox)
      })(),
    told: (runIds) => ifCurrent(({ steps }) => steps?.told(runIds))(),
    parked: () => parked,
    wasLost: () => wasLost,
    end(how, isLost) {
      parked = how
      wasLost = isLost
      resolve()
    },
  }
  return execution
}

/** The life of a run's execution: what happened so far, the job's function, and what came of it. */
async function live(life: Life, claim: Claim, job: JobDefinition): Promise<void> {
  let end: End
  try {
    const { store, env, run, onError } = life
    const history = await readHistory({ store, env, run, onError, isOver: () => life.ended })
    // Without its past, its steps would execute again.
    if (history === null) return lose(life)
    const payload = decodePayload(life.run, life.codec)
    const { context } = prepare(life, claim, job, history)
    const returned = life.ended ? undefined : await job.run(context, payload)
    end = { output: await encodeOutput(job, returned, life.codec) }
  } catch (error) {
    end = { error }
  }
  await life.steps?.finish()
  if (life.ended) return
  if ('output' in end) complete(life, end.output)
  else fail(life, end.error)
}

type End = { readonly output: Encoded } | { readonly error: unknown }

function prepare(life: Life, claim: Claim, job: JobDefinition, history: History): Steps {
  const { run, store, outbox, env, codec, scope, maxCrashes, onTick, onError } = life
  const { pasts, outcomes, startedAt, dueAt } = history
  if (dueAt !== null) env.reached(dueAt)
  const { maxDuration } = job
  if (maxDuration !== undefined) {
    const from = startedAt ?? claim.entry.at
    life.deadline = from + parseDuration(maxDuration, 'maxDuration')
  }
  life.steps = createSteps({
    run,
    job,
    store,
    pasts,
    deliveries: createDeliveries(env, outcomes),
    outbox,
    env,
    codec,
    scope,
    deadline: life.deadline,
    onTick,
    onError,
    signal: life.aborter.signal,
    noteSteps: run.crashes + 1 >= maxCrashes,
    confirmLease: () => life.confirmLease(life.execution),
    onParked: (until) => park(life, until),
    onAsked: () => void ask(life),
    onUnparkable(error) {
      onError(error, 'parking a run', run)
      fail(life, error)
    },
  })
  // Handed back while its past was read: then none of its steps begins.
  if (life.aborter.signal.aborted) life.steps.suspend()
  life.steps.mail(life.inbox)
  watchDeadline(life)
  return life.steps
}

/** Fails a run that takes too long, at once if it has. */
function watchDeadline(life: Life): void {
  const { deadline, env, run } = life
  if (deadline === null || life.ended) return
  const check = (): void => {
    if (life.ended) return
    if (env.now() < deadline) return watchDeadline(life)
    const error = new TimeoutError(`Run ${run.id} took longer than the maxDuration of its job`)
    closeWaits(life)
    abort(life, error)
    fail(life, error)
  }
  if (env.now() >= deadline) return check()
  life.cancelDeadline = env.after(deadline - env.now(), check)
}

async function encodeOutput(job: JobDefinition, returned: unknown, codec: Codec): Promise<Encoded> {
  const value =
    job.output === undefined ? returned : await parseWith(job.output, returned, 'Invalid output')
  return encode(value, codec, `output of job "${job.name}"`)
}

function complete(life: Life, output: Encoded): void {
  finish(life, { name: 'complete', output }, { duration: age(life) }, (error) => fail(life, error))
}

function fail(life: Life, thrown: unknown): void {
  const error = describeError(thrown, life.steps?.stepOf(thrown))
  finish(life, { name: 'fail', error }, { duration: age(life), error }, (refusal) => {
    life.onError(refusal, 'storing the failure of a run', life.run)
    lose(life)
  })
}

function release(life: Life): void {
  if (life.ended) return
  abort(life, new LeaseLostError(`Run ${life.run.id} was handed back: its worker stops`))
  finish(life, { name: 'release' }, { reason: 'drain' }, () => lose(life))
}

/** The last write. It carries whatever is still on its way; no step begins any more, for nothing of it could be stored. */
function finish<T extends Transition>(
  life: Life,
  transition: T,
  data: EntryDataByKind[(typeof transitions)[T['name']]['event']],
  onRejected: (error: Error) => void,
): void {
  if (transition.name !== 'release') closeWaits(life)
  if (life.steps?.isBusy()) {
    abort(life, new CancelledError(`Run ${life.run.id} has ended while this step ran`))
  }
  life.steps?.suspend()
  const kind = transitions[transition.name].event
  life.outbox.finish({
    kind,
    name: null,
    at: life.env.now(),
    data: entryData(kind, data),
    transition,
    onCommitted: () => leave(life),
    onRejected,
  })
}

/** Waits that were open are so no longer. */
function closeWaits({ steps, outbox, env }: Life): void {
  for (const { name, index } of steps?.closeWaits() ?? []) {
    const data = entryData('step:cancel', { index })
    outbox.add({ kind: 'step:cancel', name, at: env.now(), data })
  }
}

/** The run is given up; its code stays, and goes on if this process is the next to have the run. */
function park(life: Life, until: ParkedUntil): void {
  const { generation } = life.run
  life.ended = true
  life.parkedUntil = until
  life.cancelDeadline?.()
  const parked: Parked = {
    isNext: ({ run }) => run.generation === generation + 1,
    resume: (claim) => resume(life, claim),
    drop: () => abort(life, new LeaseLostError(`Run ${life.run.id} may be executed elsewhere`)),
  }
  life.execution.end(parked, false)
  life.onParked(until.wakeAt)
}

function resume(life: Life, { run, entry }: Claim): Execution {
  // Nobody sent it anything, and it did not ask: so its time has come.
  const { parkedUntil } = life
  if (parkedUntil?.inbox === run.inbox && parkedUntil.wakeAt !== null) {
    life.env.reached(parkedUntil.wakeAt)
  }
  life.run = run
  life.ended = false
  life.execution = createExecution(run, () => life)
  life.outbox.reopen(run, entry.seq)
  watchDeadline(life)
  if (!life.ended) life.steps?.resume(run)
  return life.execution
}

/** Has the parked run woken. Whoever was faster has done so, or has ended it. */
async function ask(life: Life): Promise<void> {
  life.parkedUntil = null
  const { store, env, onWoken, onError } = life
  const { id: runId, generation } = life.run
  const backoff = createBackoff(env)
  while (life.ended && !life.aborter.signal.aborted && life.run.generation === generation) {
    try {
      const acted = await store.act({ transition: 'wake', runId, generation }, env.now())
      if (acted.done) onWoken([acted])
      return
    } catch (error) {
      onError(error, 'waking a run whose code goes on', life.run)
      await pause(env, backoff.next())
    }
  }
}

function cancel(life: Life): void {
  if (life.ended) return
  const error = new CancelledError(`Run ${life.run.id} was cancelled`)
  leave(life)
  life.steps?.cancel(error)
  life.aborter.abort(error)
}

function lose(life: Life): void {
  if (life.ended) return
  abort(life, new LeaseLostError(`Run ${life.run.id} has another holder`))
  leave(life, true)
}

/** The job's code sees only the signal: its calls do not settle any more. */
function abort({ steps, aborter }: Life, reason: Error): void {
  steps?.suspend()
  if (!aborter.signal.aborted) aborter.abort(reason)
}

function leave(life: Life, isLost = false): void {
  life.outbox.close()
  life.cancelDeadline?.()
  life.ended = true
  life.execution.end(null, isLost)
}

function age({ run, env }: Life): number {
  return Math.max(0, env.now() - (run.startedAt ?? env.now()))
}
