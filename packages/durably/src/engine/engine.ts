import type { Env } from '../core/env.ts'
import { describeError } from '../core/describe-error.ts'
import type { DurablyEvent, EventRun } from '../core/event.ts'
import type { JobDefinition } from '../core/job.ts'
import type { Entry } from '../core/journal.ts'
import type { Settings } from '../core/options.ts'
import { toIso, type RunRecord } from '../core/run.ts'
import { isEnding } from '../core/transitions.ts'
import type { Wakeups } from '../core/wakeups.ts'
import type { Enqueued, Fact, NewRun, Send, Sent, Store } from '../store/store.ts'
import { closedError, createGate, type Gate } from './gate.ts'
import { createElsewhere, type Elsewhere } from './elsewhere.ts'
import { createJanitor, type Janitor } from './janitor.ts'
import type { OnTick } from './steps.ts'
import { createWorker, type Worker } from './worker.ts'
import { createWriter, type Writer } from './writer.ts'

/** Who is told what happened. The engine itself listens to nobody. */
interface Audience {
  fact(entry: Entry, run: EventRun): void
  event(event: DurablyEvent): void
  tick: OnTick
  changedElsewhere(runId: string | null): void
  /** Nothing comes any more. */
  close(): void
}

/** What executes runs and writes them: everything below the surface. */
export interface Engine {
  readonly store: Store
  /** Throws `UnusableStoreError` once it was closed. */
  requireOpen(): void
  readonly env: Env
  readonly settings: Settings
  /** The jobs this process can execute, by name. */
  readonly jobs: Map<string, JobDefinition>
  readonly worker: Worker
  readonly elsewhere: Elsewhere
  enqueue(runs: readonly NewRun[]): Promise<readonly Enqueued[]>
  send(message: Send): Promise<Sent>
  /** Tells what was committed, here and to other processes. */
  announce(facts: readonly Fact[]): void
  /** Tells, here and to other processes, that runs are gone: too many to name each. */
  purged(): void
  report: Report
  migrate(): Promise<void>
  start(): void
  stop(timeoutMs: number | null): Promise<void>
  close(): Promise<void>
}

/** Says that something went wrong which no caller hears of. */
type Report = (error: unknown, context: string, run?: RunRecord) => void

export interface EngineParts {
  readonly store: Store
  readonly env: Env
  readonly settings: Settings
  readonly wakeups: Wakeups | null
  readonly audience: Audience
}

export function createEngine(parts: EngineParts): Engine {
  const { env, settings, wakeups, audience } = parts
  const { store, requireOpen } = createGate(parts.store, env)
  const jobs = new Map<string, JobDefinition>()
  const report = reportTo(audience, env)
  const elsewhere = createElsewhere({
    version: store.version,
    wakeups,
    env,
    onError: report,
    onChange(runIds) {
      worker.pokeFromElsewhere()
      for (const runId of runIds ?? [null]) audience.changedElsewhere(runId)
    },
  })
  const announce = (facts: readonly Fact[]): void => {
    for (const { run, entry } of facts) {
      audience.fact(entry, run)
      elsewhere.changed(run.id, entry.kind.startsWith('run:'))
    }
    actOn(facts, worker)
  }
  const purged = (): void => {
    audience.changedElsewhere(null)
    elsewhere.changed(null, false)
  }
  const onError = (error: unknown): void => report(error, 'writing to the database')
  const writer = createWriter({ ...settings, store, env, onWritten: announce, onError })
  const worker: Worker = createWorker({
    ...settings,
    store,
    writer,
    env,
    jobs,
    scope: env.scope(),
    onTick: audience.tick,
    onFacts: announce,
    onError: report,
  })
  return {
    store,
    requireOpen,
    env,
    settings,
    jobs,
    worker,
    elsewhere,
    announce,
    purged,
    report,
    ...createRequests(writer, worker, elsewhere),
    ...createLifecycle({ ...parts, store, requireOpen, purged }, worker, elsewhere, report),
  }
}

/** What anyone wants of runs: that they are made, or get a message. */
function createRequests(
  writer: Writer,
  worker: Worker,
  elsewhere: Elsewhere,
): Pick<Engine, 'enqueue' | 'send'> {
  return {
    async enqueue(runs) {
      // First in line, then the worker: what it claims shares the transaction.
      const enqueued = writer.enqueue(runs)
      if (runs.some(({ dueAt }) => dueAt === null)) worker.poke()
      const answers = await enqueued
      // A look before it was written would not have seen it.
      const dueAt = firstDueAt(runs)
      if (dueAt !== null) worker.poke(dueAt)
      return answers
    },
    async send(message) {
      const answers = writer.send([message])
      worker.poke()
      const [sent] = await answers
      if (sent === undefined) throw new Error(`No answer to message ${message.id}`)
      if (sent.done && sent.entry === null) {
        const { id, inbox } = sent.run
        worker.mailed(id, inbox)
        elsewhere.changed(id, true)
      }
      return sent
    },
  }
}

/** What is claimable from now on, and who waited for what has ended. */
function actOn(facts: readonly Fact[], worker: Worker): void {
  if (facts.some(({ entry }) => entry.kind === 'run:wake')) worker.poke()
  const ended = facts.filter(({ entry }) => isEnding(entry.kind)).map(({ run }) => run.id)
  if (ended.length > 0) worker.ended(new Set(ended))
}

/** A batch may have more of them than a call has arguments. */
function firstDueAt(runs: readonly NewRun[]): number | null {
  let first: number | null = null
  for (const { dueAt } of runs) {
    if (dueAt !== null && (first === null || dueAt < first)) first = dueAt
  }
  return first
}

function reportTo({ event }: Audience, env: Env): Report {
  return (error, context, run) => {
    const errorDetail = describeError(error)
    event({
      type: 'worker:error',
      timestamp: toIso(env.now()),
      sequence: 0,
      runId: run?.id ?? null,
      jobName: run?.jobName ?? null,
      error: errorDetail.message,
      errorDetail,
      context,
    })
  }
}

function createLifecycle(
  {
    store,
    requireOpen,
    env,
    settings: { retainMs },
    audience,
    purged,
  }: EngineParts & Gate & Pick<Engine, 'purged'>,
  worker: Worker,
  elsewhere: Elsewhere,
  report: Report,
): Pick<Engine, 'migrate' | 'start' | 'stop' | 'close'> {
  const janitor: Janitor | null =
    retainMs === null
      ? null
      : createJanitor({ store, env, retainMs, onPurged: purged, onError: report })
  let migrated: Promise<void> | null = null
  let letGo: (() => void) | null = null
  let isClosing = false

  async function migrate(): Promise<void> {
    requireOpen()
    migrated ??= store.migrate()
    try {
      await migrated
    } catch (error) {
      migrated = null
      throw error
    }
  }

  async function stop(timeoutMs: number | null): Promise<void> {
    janitor?.stop()
    await worker.stop(timeoutMs)
    if (worker.isRunning()) return
    letGo?.()
    letGo = null
  }

  return {
    migrate,
    stop,
    start() {
      if (isClosing) throw closedError()
      letGo ??= elsewhere.hold()
      janitor?.start()
      worker.start()
    },
    async close() {
      isClosing = true
      await stop(null)
      await elsewhere.close()
      await store.close()
      audience.close()
    },
  }
}
