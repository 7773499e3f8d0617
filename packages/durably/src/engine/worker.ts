import { createSession, type Session, type SessionOptions } from './session.ts'

/** Starts and stops the execution of runs in this process: one session after the other, never two. */
export interface Worker
  extends Pick<Session, 'poke' | 'pokeFromElsewhere' | 'cancelled' | 'mailed' | 'ended'> {
  /** No-op while it runs; during a drain it takes effect after it. */
  start(): void
  isRunning(): boolean
  /** Resolves when nothing executes here any more. After `timeoutMs` (null: never) runs are handed back. */
  stop(timeoutMs: number | null): Promise<void>
  /** Claims and executes until nothing is due, `maxRuns` were claimed, or `maxMs` are over. Returns how many. */
  processUntilIdle(maxRuns: number, maxMs: number | null): Promise<number>
}

type WorkerOptions = Omit<SessionOptions, 'maxRuns' | 'untilIdle' | 'livingWorkers'>

interface State {
  readonly options: WorkerOptions
  readonly sessions: Set<Session>
  running: Session | null
  drain: Promise<void> | null
  startAfterDrain: boolean
}

export function createWorker(options: WorkerOptions): Worker {
  const worker: State = {
    options,
    sessions: new Set(),
    running: null,
    drain: null,
    startAfterDrain: false,
  }
  return {
    start: () => start(worker),
    isRunning: () => worker.running !== null,
    stop: (timeoutMs) => stop(worker, timeoutMs),
    processUntilIdle: (maxRuns, maxMs) => processUntilIdle(worker, maxRuns, maxMs),
    poke: (dueAt) => worker.sessions.forEach((session) => session.poke(dueAt)),
    pokeFromElsewhere: () => worker.sessions.forEach((session) => session.pokeFromElsewhere()),
    cancelled: (runId) => worker.sessions.forEach((session) => session.cancelled(runId)),
    mailed: (runId, inbox) => worker.sessions.forEach((session) => session.mailed(runId, inbox)),
    ended: (runIds) => worker.sessions.forEach((session) => session.ended(runIds)),
  }
}

function open(worker: State, how: Pick<SessionOptions, 'maxRuns' | 'untilIdle'>): Session {
  // Its own id comes later, and is nobody's predecessor's.
  const livingWorkers = (): string[] => [...worker.sessions].map(({ workerId }) => workerId)
  const session = createSession({ ...worker.options, ...how, livingWorkers })
  worker.sessions.add(session)
  return session
}

function start(worker: State): void {
  if (worker.drain !== null) worker.startAfterDrain = true
  else worker.running ??= open(worker, { maxRuns: Number.POSITIVE_INFINITY, untilIdle: false })
}

async function stop(worker: State, timeoutMs: number | null): Promise<void> {
  const { running } = worker
  worker.startAfterDrain = false
  if (running === null) return
  worker.drain ??= drain(worker, running)
  const cancel = abandonAfter(worker, running, timeoutMs)
  await worker.drain
  cancel()
}

async function drain(worker: State, session: Session): Promise<void> {
  session.stop()
  await session.over
  worker.sessions.delete(session)
  worker.running = null
  worker.drain = null
  if (worker.startAfterDrain) start(worker)
}

async function processUntilIdle(
  worker: State,
  maxRuns: number,
  maxMs: number | null,
): Promise<number> {
  const session = open(worker, { maxRuns, untilIdle: true })
  const cancel = abandonAfter(worker, session, maxMs)
  try {
    await session.over
  } finally {
    cancel()
    worker.sessions.delete(session)
  }
  return session.executed()
}

/** Stops the session after `ms` and hands its runs back; the returned function calls that off. */
function abandonAfter({ options }: State, session: Session, ms: number | null): () => void {
  const abandon = (): void => {
    session.stop()
    session.abandon()
  }
  if (ms !== null && ms > 0) return options.env.after(ms, abandon)
  // No timer is waited for: in tests time stands still while a job goes from step to step.
  if (ms === 0) abandon()
  return () => {}
}
