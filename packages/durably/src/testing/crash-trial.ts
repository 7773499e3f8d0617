import { richCodec, type Codec } from '../core/codec.ts'
import type { Scope } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { JobHandle } from '../core/handle.ts'
import type { Instance, Jobs } from '../core/instance.ts'
import type { JobDefinition } from '../core/job.ts'
import { toRun, type Run } from '../core/run.ts'
import { isTerminal, type RunStatus } from '../core/transitions.ts'
import { assemble } from '../durably.ts'
import type { Wakeups } from '../core/wakeups.ts'
import type { Store } from '../store/store.ts'
import { attendJob, type StepExecution } from './attended-job.ts'
import { connect } from './connection.ts'
import { createPlaces, type CrashPlace } from './crash-place.ts'
import type { Actor, EffectCall } from './effects.ts'
import { createInProcessWakeups } from './in-process-wakeups.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface TrialOptions {
  readonly time: VirtualTime
  readonly store: Store
  readonly codec: Codec | undefined
  readonly scope: Scope<Actor>
  readonly job: JobDefinition
  readonly input: unknown
  readonly answer: Answer | undefined
  /** Where the first process dies; null: nowhere. */
  readonly crashAt: CrashPlace | null
}

/** Called each time the run waits, to send it what it waits for. */
export type Answer = (
  run: Run,
  durably: Pick<Instance, 'signal' | 'completeToken' | 'wake'>,
) => void | Promise<void>

/** What came of one run of the job, and of its crash. */
export interface Trial {
  readonly crashAt: CrashPlace | null
  /** Whether the run came to the place. */
  readonly crashed: boolean
  readonly status: RunStatus
  readonly output: unknown
  readonly error: string | null
  /** Output and error as text, to compare: the run's id in it is masked. */
  readonly result: string
  readonly calls: readonly EffectCall[]
  /** Where the first process could have died, in the order in which it came there. */
  readonly places: readonly CrashPlace[]
}

interface State extends TrialOptions {
  /** How a worker hears of an answer, which another process sends. */
  readonly wakeups: Wakeups
  /** The same for both workers: the second takes up at once what the first left behind. */
  readonly workerName: string
  readonly calls: EffectCall[]
  readonly places: CrashPlace[]
  crashed: boolean
}

interface Process {
  readonly job: JobHandle
  readonly durably: Instance<Jobs | null>
  /** Begins to work. */
  start(): void
  kill(): void
}

// Who changes something tells the others: there is nothing to poll for. Waits may take months.
const HEARTBEAT_MS = 3_600_000
const LEASE_MS = 3 * HEARTBEAT_MS
// The default of staleThreshold. A lease that really ran out in so short a time would be renewed too often.
const TAKEOVER_MS = 30_000
const LIMIT_MS = 100 * 24 * HEARTBEAT_MS

/** Runs the job once, lets its process die at the place, and has another process finish the run. */
export async function runTrial(options: TrialOptions): Promise<Trial> {
  const { time, crashAt } = options
  const wakeups = createInProcessWakeups()
  const workerName = `crashTest ${time.createEnv().id()}`
  const trial: State = { ...options, wakeups, workerName, calls: [], places: [], crashed: false }
  const client = createProcess(trial, () => {})
  const { id } = await time.until(client.job.trigger(options.input))
  const hasEnded = createEndCheck(trial, client, id)
  const first = createProcess(trial, (place) => {
    trial.places.push(place)
    if (place !== crashAt) return
    trial.crashed = true
    first.kill()
  })
  first.start()
  await time.pass(async () => trial.crashed || (await hasEnded()), LIMIT_MS)
  first.kill()
  if (trial.crashed) {
    time.block(TAKEOVER_MS)
    const second = createProcess(trial, () => {})
    second.start()
    await time.pass(hasEnded, LIMIT_MS)
    second.kill()
  }
  client.kill()
  return { ...trial, ...(await outcomeOf(trial, id)) }
}

/** Whether the run has ended. One that waits is answered, once each time. */
function createEndCheck(
  { time, store, answer, codec = richCodec }: State,
  { durably }: Process,
  id: string,
): () => Promise<boolean> {
  let answered = -1
  return async () => {
    const record = await store.run(id)
    if (record?.status === 'waiting' && answer !== undefined && record.generation !== answered) {
      answered = record.generation
      await time.until(Promise.resolve(answer(toRun(record, codec), durably)))
    }
    return isTerminal(record?.status ?? 'pending')
  }
}

async function outcomeOf(
  { store, codec = richCodec, calls }: State,
  id: string,
): Promise<Pick<Trial, 'status' | 'output' | 'error' | 'result' | 'calls'>> {
  const mask = (text: string): string => text.replaceAll(id, '<run id>')
  const record = await store.run(id)
  if (record === null) throw new NotFoundError(`Run ${id} was deleted while it was tested`)
  const { status, output, error } = toRun(record, codec)
  return {
    status,
    output,
    error,
    // Another codec may give another text each time.
    result: mask(error ?? (await richCodec.encode(output))),
    calls: calls.map((call) => ({ ...call, args: mask(call.args) })),
  }
}

function createProcess(trial: State, reach: (place: CrashPlace) => void): Process {
  const { time, store, scope, job, codec, wakeups, workerName } = trial
  const env = time.createEnv()
  const places = createPlaces()
  const died = Promise.withResolvers<void>()
  let alive = true
  const connection = connect({
    store,
    time,
    onWrite(batch, side) {
      for (const place of places.ofWrite(batch, side)) if (alive) reach(place)
    },
  })
  const actAs = (step: StepExecution | null): Actor => ({
    isAlive: () => alive,
    step: step?.name ?? null,
    idempotencyKey: step?.info.idempotencyKey ?? null,
    record: (call) => void trial.calls.push(call),
  })
  const arrive = async (place: CrashPlace): Promise<void> => {
    if (alive) reach(place)
    if (!alive) await new Promise(() => {})
  }
  const attended = attendJob(job, {
    attend: (work) => time.attend(Promise.race([work, died.promise])),
    async perform(step) {
      await arrive(places.ofStep(step.name, 'before'))
      const work = scope.run(actAs(step), step.execute)
      await work.catch(() => {})
      await arrive(places.ofStep(step.name, 'after'))
      return work
    },
  })
  const observed: JobDefinition = {
    ...attended,
    run: (step, payload) => scope.run(actAs(null), () => attended.run(step, payload)),
  }
  const instance = assemble(connection.store, env, {
    codec,
    wakeups,
    workerName,
    pollingInterval: LIMIT_MS,
    heartbeatInterval: HEARTBEAT_MS,
    staleThreshold: LEASE_MS,
  })
  return {
    durably: instance,
    job: instance.register({ observed }).observed,
    start: instance.start,
    kill() {
      alive = false
      connection.cut()
      env.kill()
      died.resolve()
    },
  }
}
