import { parseDuration } from '../core/parse-duration.ts'
import { requireInteger, readLabels } from '../core/filter.ts'
import type { Handles, RunChangeFilter } from '../core/handle.ts'
import type { Instance, Jobs } from '../core/instance.ts'
import { parseWith } from '../core/schema.ts'
import { requireText } from '../core/require-text.ts'
import { requireFunctions, type Settings } from '../core/options.ts'
import { requireKnown, requireObject, requireOptions } from '../core/require-object.ts'
import { toIso, toRun } from '../core/run.ts'
import type { DurablyEvent, RunChange } from '../core/event.ts'
import { waitHow } from '../core/wait-how.ts'
import type { Bus, Watcher } from '../events/bus.ts'
import { createRunChanges } from '../events/run-changes.ts'
import { createJournalReads, type JournalReads } from '../events/journal-reads.ts'
import { createRunWaits } from '../events/run-waits.ts'
import { createSubscription } from '../events/subscription.ts'
import { UnusableStoreError } from '../store/store.ts'
import { createActions, type Actions } from './actions.ts'
import type { Engine } from './engine.ts'
import { createHandle } from './handles.ts'
import { createMail } from './mail.ts'
import { createReads, readFilter } from './reads.ts'
import { createRegistry } from './registry.ts'
import { createRunFactory, type RunFactoryOptions } from './trigger.ts'

type WaitOptions = NonNullable<Parameters<Instance['waitForRun']>[1]>

/** The instance as the app has it, in the process that has the engine. */
export function createLocalClient(engine: Engine, bus: Bus): Instance<Jobs | null> {
  const { store, settings, worker, jobs, enqueue } = engine
  const { codec } = settings
  const reads = createReads(store, codec)
  const journals = createJournalReads(store.journal, codec)
  const runs = createRunFactory({ env: engine.env, codec, parseLabels: labelParser(settings) })
  const { retrigger, ...actions } = createRunActions(engine, bus)
  const waits = createRunWaits({
    ...settings,
    env: engine.env,
    read: store.run,
    watch: (runId, watcher) => watch(engine, bus, runId, watcher),
    onError: (error, context) => askAgain(engine, error, context),
  })
  const registry = createRegistry(jobs, (job) =>
    createHandle(job, { runs, reads, codec, enqueue, waits }),
  )
  return {
    ...createLifecycle(engine),
    ...actions,
    ...createMail(engine),
    getRun: reads.getRun as Instance['getRun'],
    getRuns: reads.getRuns as Instance['getRuns'],
    getSteps: reads.getSteps,
    getLogs: reads.getLogs,
    register<T extends Jobs>(definitions: T) {
      const handles = registry.register(definitions)
      worker.poke()
      return handles as Handles<T>
    },
    jobs: registry.handles as Handles<Jobs>,
    getJob: (name) => registry.handle(name),
    on: bus.on,
    onError: bus.onError,
    subscribe(runId, options = {}) {
      requireOptions(options, { after: true })
      return subscribe(engine, bus, journals, runId, options.after ?? 0)
    },
    subscribeRuns: (filter = {}) => subscribeRuns(engine, bus, filter),
    waitForRun: (async (runId: string, options: WaitOptions = {}) => {
      requireOptions(options, { timeout: true, signal: true })
      const { signal } = options
      if (signal !== undefined) requireFunctions(signal, 'signal', signalFunctions)
      requireText(runId, 'run id')
      const how = waitHow('waitForRun', options, `; run ${runId} goes on`)
      return toRun(await waits.ended(runId, how), codec)
    }) as Instance['waitForRun'],
    retrigger: async (runId) => toRun(await retrigger(runId), codec),
  }
}

const signalFunctions = ['addEventListener', 'removeEventListener', 'throwIfAborted']

function labelParser({ labels: schema }: Settings): RunFactoryOptions['parseLabels'] {
  return async (labels, at) =>
    schema === null ? labels : readLabels(await parseWith(schema, labels, `${at}Invalid labels`))
}

function createRunActions(engine: Engine, bus: Bus): Actions {
  const { env, elsewhere, settings } = engine
  return createActions({
    ...engine,
    codec: settings.codec,
    onDeleted({ id, jobName, labels }, lastSeq) {
      const timestamp = toIso(env.now())
      const sequence = lastSeq + 1
      bus.event({ type: 'run:delete', timestamp, sequence, runId: id, jobName, labels })
      elsewhere.changed(id, true)
    },
    onResumed: () => elsewhere.changed(null, true),
    onPurged: engine.purged,
  })
}

type Lifecycle = 'init' | 'migrate' | 'start' | 'stop' | 'close' | 'processUntilIdle'

function createLifecycle(
  engine: Engine,
): Pick<Instance, Lifecycle> & { [Symbol.asyncDispose](): Promise<void> } {
  const { worker, migrate, start, close } = engine
  return {
    async init() {
      await migrate()
      start()
    },
    migrate,
    start,
    async stop(options = {}) {
      requireOptions(options, { timeout: true })
      const { timeout } = options
      await engine.stop(timeout === undefined ? null : parseDuration(timeout, 'timeout'))
    },
    close,
    [Symbol.asyncDispose]: close,
    async processUntilIdle(options = {}) {
      requireOptions(options, { maxRuns: true, maxTime: true })
      const { maxRuns, maxTime } = options
      const most = maxRuns === undefined ? Number.POSITIVE_INFINITY : readCount(maxRuns)
      const maxMs = maxTime === undefined ? null : parseDuration(maxTime, 'maxTime')
      return { executed: await worker.processUntilIdle(most, maxMs) }
    },
  }
}

function readCount(maxRuns: number): number {
  return requireInteger(maxRuns, 'maxRuns', 1, Number.MAX_SAFE_INTEGER)
}

/** Calls the watcher for what happens here, and for what other processes may have done. */
function watch({ elsewhere }: Engine, bus: Bus, runId: string, watcher: Watcher): () => void {
  const stops = [bus.watch(runId, watcher), elsewhere.hold()]
  return () => {
    for (const stop of stops) stop()
  }
}

/** What can be answered later is asked for again. */
function askAgain({ report }: Engine, error: unknown, context: string): void {
  if (error instanceof UnusableStoreError) throw error
  report(error, context)
}

function subscribe(
  engine: Engine,
  bus: Bus,
  journals: JournalReads,
  runId: string,
  after: number,
): ReadableStream<DurablyEvent> {
  const { settings } = engine
  requireText(runId, 'run id')
  requireInteger(after, 'after', 0, Number.MAX_SAFE_INTEGER)
  return createSubscription({
    ...settings,
    env: engine.env,
    runId,
    after,
    read: (position, limit) => journals.read(runId, position, limit),
    watch: (watcher) =>
      watch(engine, bus, runId, {
        ...watcher,
        onChange(event, run) {
          journals.changed(runId)
          watcher.onChange(event, run)
        },
      }),
    onError: (error) => askAgain(engine, error, `following run ${runId}`),
  })
}

function subscribeRuns(
  { env, elsewhere, requireOpen }: Engine,
  bus: Bus,
  filter: RunChangeFilter,
): ReadableStream<RunChange> {
  requireObject(filter, 'filter')
  requireKnown<RunChangeFilter>(filter, { jobName: true, labels: true }, '', 'filter')
  const { jobName, labels } = readFilter(filter)
  return createRunChanges({
    jobName,
    labels,
    env,
    requireOpen,
    follow(follower) {
      const stops = [bus.follow(follower), elsewhere.hold()]
      return () => {
        for (const stop of stops) stop()
      }
    },
  })
}
