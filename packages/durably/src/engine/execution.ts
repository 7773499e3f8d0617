import { encode, type Codec, type Encoded } from '../core/codec.ts'
import { pause, type Env, type Scope } from '../core/env.ts'
import { CancelledError, describeError, LeaseLostError } from '../core/error.ts'
import { parseWith, type JobDefinition } from '../core/job.ts'
import { entryData, type EntryDataByKind } from '../core/journal.ts'
import { decodePayload, type RunRecord } from '../core/run.ts'
import { transitions } from '../core/transitions.ts'
import type { Claim, JournalPage, Lease, Store, Transition } from '../store/store.ts'
import { createBackoff } from './backoff.ts'
import { createDeliveries } from './deliveries.ts'
import { createHistoryReader, type HistoryReader } from './history.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { createSteps, type OnTick, type Steps, type StepScope } from './steps.ts'
import type { Writer } from './writer.ts'

/** One execution of a run, from its claim until it ended or the run is another's. */
export interface Execution {
  readonly run: RunRecord
  readonly lease: Lease
  /** Resolves when nothing of it can be written any more. */
  readonly over: Promise<void>
  /** The run was cancelled. */
  cancel(): void
  /** Another worker has the run, or may have it. */
  lose(): void
  /** Gives the run back for another worker to continue. */
  release(): void
}

export interface ExecutionOptions {
  readonly store: Store
  readonly writer: Writer
  readonly env: Env
  readonly codec: Codec
  readonly scope: Scope<StepScope> | null
  readonly maxCrashes: number
  readonly onTick: OnTick
  /** The job's function is done, and the last write about to leave: the slot is free. */
  readonly onFinishing: (execution: Execution) => void
  readonly onError: (error: unknown, context: string, run?: RunRecord) => void
}

interface Life extends ExecutionOptions {
  readonly run: RunRecord
  readonly outbox: Outbox
  readonly aborter: AbortController
  readonly end: () => void
  steps: Steps | null
  ended: boolean
}

const PAGE_SIZE = 1000

/** Executes a claimed run. */
export function execute(claim: Claim, job: JobDefinition, options: ExecutionOptions): Execution {
  const [life, execution] = begin(claim, options)
  void live(life, job).then(() => options.onFinishing(execution))
  return execution
}

/** Gives a claimed run back without having started it. */
export function handBack(claim: Claim, options: ExecutionOptions): Execution {
  const [life, execution] = begin(claim, options)
  release(life)
  return execution
}

function begin(claim: Claim, options: ExecutionOptions): [Life, Execution] {
  const { run, entry } = claim
  const lease = { runId: run.id, generation: run.generation }
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const outbox = createOutbox({
    run,
    lastSeq: entry.seq,
    writer: options.writer,
    env: options.env,
    onLost: (answer) => (answer === 'cancelled' ? cancel(life) : lose(life)),
  })
  const aborter = new AbortController()
  const life: Life = { ...options, run, outbox, aborter, end: resolve, steps: null, ended: false }
  const execution = {
    run,
    lease,
    over,
    cancel: () => cancel(life),
    lose: () => lose(life),
    release: () => release(life),
  }
  return [life, execution]
}

/** The life of a run's execution: what happened so far, the job's function, and what came of it. */
async function live(life: Life, job: JobDefinition): Promise<void> {
  let end: End
  try {
    const history = await readHistory(life)
    const payload = decodePayload(life.run, life.codec)
    const { context } = prepare(life, history)
    const returned = life.ended ? undefined : await job.run(context, payload)
    end = { output: await encodeOutput(job, returned, life.codec) }
  } catch (error) {
    end = { error }
  }
  if (life.ended) return
  await life.steps?.logged()
  if ('output' in end) complete(life, end.output)
  else fail(life, end.error)
}

type End = { readonly output: Encoded } | { readonly error: unknown }

/** What the run's journal says. A database that does not answer is not the run's fault: asked until it does. */
async function readHistory(life: Life): Promise<HistoryReader> {
  const { store, env, run } = life
  const history = createHistoryReader()
  const backoff = createBackoff(env)
  let position = 0
  // Where nobody held the run before, there is nothing to replay.
  let more = run.generation > 1
  while (more && !life.ended) {
    let page: JournalPage | null
    try {
      page = await store.journal(run.id, position, PAGE_SIZE)
    } catch (error) {
      life.onError(error, 'reading the journal', run)
      await pause(env, backoff.next())
      continue
    }
    const entries = page?.entries ?? []
    history.add(entries)
    position = entries.at(-1)?.seq ?? position
    more = entries.length === PAGE_SIZE
  }
  return history
}

function prepare(life: Life, history: HistoryReader): Steps {
  const { run, env, codec, scope, outbox, aborter, onTick, maxCrashes } = life
  const deliveries = createDeliveries(env)
  life.steps = createSteps({
    run,
    history: history.finish(deliveries),
    deliveries,
    outbox,
    env,
    codec,
    scope,
    signal: aborter.signal,
    noteSteps: run.crashes + 1 >= maxCrashes,
    onTick,
  })
  return life.steps
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

/** The last write. It carries whatever is still on its way. */
function finish<T extends Transition>(
  life: Life,
  transition: T,
  data: EntryDataByKind[(typeof transitions)[T['name']]['event']],
  onRejected: (error: Error) => void,
): void {
  if (life.steps?.isBusy()) {
    abort(life, new CancelledError(`Run ${life.run.id} has ended while this step ran`))
  }
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
  leave(life)
}

/** The job's code sees only the signal: its calls do not settle any more. */
function abort({ steps, aborter }: Life, reason: Error): void {
  steps?.suspend()
  if (!aborter.signal.aborted) aborter.abort(reason)
}

function leave(life: Life): void {
  life.outbox.close()
  life.ended = true
  life.end()
}

function age({ run, env }: Life): number {
  return Math.max(0, env.now() - (run.startedAt ?? env.now()))
}
