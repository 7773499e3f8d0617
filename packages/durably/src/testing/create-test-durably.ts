import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Dialect, Kysely } from 'kysely'
import type { Duration } from '../core/duration.ts'
import { parseDuration } from '../core/parse-duration.ts'
import { ConflictError, NotFoundError, ValidationError } from '../core/error.ts'
import type { Handles, LastArgument, RunOf, TriggerOptions } from '../core/handle.ts'
import type { Instance, Jobs } from '../core/instance.ts'
import type { JobDefinition, JobInput } from '../core/job.ts'
import type { EngineOptions } from '../core/options.ts'
import { requireDate } from '../core/require-date.ts'
import { requireOptions, type Names } from '../core/require-object.ts'
import type { Labels, LabelsSchema } from '../core/run.ts'
import type { Step } from '../core/step.ts'
import { isTerminal } from '../core/transitions.ts'
import { assemble, type Durably } from '../durably.ts'
import { attendJob } from './attended-job.ts'
import { connect, openStore } from './connection.ts'
import { createOverrides, type StepOverride } from './overrides.ts'
import { createVirtualTime, type VirtualTime } from './virtual-time.ts'

/** The jobs to test, and how: a store, a start time, and options as in `createDurably`. */
export interface TestDurablyOptions<
  TJobs extends Jobs = Jobs,
  TLabels extends LabelsSchema = StandardSchemaV1<Labels>,
> extends Pick<EngineOptions, 'maxConcurrentRuns' | 'codec' | 'retainRuns'> {
  readonly jobs: TJobs
  readonly labels?: TLabels | undefined
  /** A Kysely dialect. Default: a new store in memory for each instance. */
  readonly dialect?: Dialect | undefined
  /** When test time begins. Default: 1 January 2030, 00:00 UTC. */
  readonly startAt?: Date | undefined
}

/** An instance for tests, on a clock of its own. */
export interface TestDurably<TJobs extends Jobs = Jobs, TLabels = Labels, TGiven = TLabels> {
  /**
   * The working instance. What it does later by itself, such as delayed runs, needs `advance`; `db` needs a dialect.
   */
  readonly durably: Durably<TJobs, TLabels, TGiven>
  readonly jobs: Handles<TJobs, TLabels, TGiven>
  /**
   * Triggers the job, and returns its run once it has ended (even if it failed) or waits for something. As much time
   * passes as that takes. Throws `ValidationError` for an invalid input, `NotFoundError` for a job that is not among
   * `jobs`, and `ConflictError` if the run neither ended nor waited within ten minutes.
   */
  run<J extends TJobs[keyof TJobs]>(
    job: J,
    input: JobInput<J>,
    ...options: LastArgument<TriggerOptions<TGiven>, TGiven>
  ): Promise<RunOf<J, TLabels>>
  /** Lets time pass, and executes what becomes due. Time stands still while a step does real work. */
  advance(duration: Duration): Promise<void>
  /** The current test time. */
  now(): Date
  /** The steps of a run that have ended or wait, in the order in which they were first called. */
  steps(runId: string): Promise<Step[]>
  /**
   * Replaces the outcome of a step, in all runs that execute it from now on. If no step has that name, `close` throws.
   */
  step(job: TJobs[keyof TJobs], name: string): StepOverride
  /**
   * Hands back the runs that are not over. Then throws `ValidationError` if you replaced the outcome of a step that its
   * job does not have: the job has come to its end, never called the step, and does not name it in its code.
   */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const START = new Date('2030-01-01T00:00:00Z')
const knownOptions: Names<TestDurablyOptions> = {
  jobs: true,
  dialect: true,
  startAt: true,
  maxConcurrentRuns: true,
  labels: true,
  codec: true,
  retainRuns: true,
}

const RUN_LIMIT_MS = 600_000
// Nobody else is on the database: there is nothing to poll for, and nobody to hold a lease against.
const ALONE = { pollingInterval: '365d', heartbeatInterval: '1h', staleThreshold: '3h' } as const

/**
 * Creates a working instance for tests: the real engine over a store in memory, on a clock that moves only when you say
 * so. Throws a `ValidationError` that names the invalid option.
 *
 * @example
 * const t = createTestDurably({ jobs: { importUsers: importUsersJob } })
 * t.step(importUsersJob, 'download').returns([{ name: 'Ada' }])
 * const run = await t.run(importUsersJob, { url: 'https://example.com/users.csv' })
 * if (run.status !== 'completed') throw new Error(`${run.error}`)
 */
export function createTestDurably<
  const TJobs extends Jobs,
  TLabels extends LabelsSchema = StandardSchemaV1<Labels>,
>(
  options: TestDurablyOptions<TJobs, TLabels>,
): TestDurably<TJobs, StandardSchemaV1.InferOutput<TLabels>, StandardSchemaV1.InferInput<TLabels>>
export function createTestDurably<TJobs extends Jobs>(
  options: TestDurablyOptions<TJobs>,
): TestDurably<TJobs> {
  requireOptions(options, knownOptions)
  const { jobs, dialect, startAt = START, ...settings } = options
  const time = createVirtualTime(requireDate(startAt, 'startAt'))
  const overrides = createOverrides()
  const attended = new Map<JobDefinition, JobDefinition>()
  const attendAll = (definitions: Jobs): Jobs =>
    Object.fromEntries(
      Object.entries(definitions).map(([key, job]) => {
        const same = attended.get(job) ?? attendJob(job, { ...overrides, attend: time.attend })
        attended.set(job, same)
        return [key, same]
      }),
    )
  const { store, db } = openStore(dialect, time)
  const connection = connect({ store, time })
  const engineOptions = { ...settings, ...ALONE, jobs: attendAll(jobs) }
  const instance = assemble(connection.store, time.createEnv(), engineOptions)
  instance.start()
  const close = async (): Promise<void> => {
    await time.until(instance.stop({ timeout: 0 }))
    await time.until(instance.close())
    await store.close()
    overrides.check()
  }
  return {
    durably: withDatabase(db, {
      ...(instance as Instance<TJobs>),
      register: (more) => instance.register(attendAll(more)) as Handles<typeof more>,
      close,
      [Symbol.asyncDispose]: close,
    }),
    jobs: instance.jobs as Handles<TJobs>,
    run: (job, input, triggerOptions) => run(time, instance, job, input, triggerOptions),
    advance: (duration) => time.advance(parseDuration(duration, 'duration')),
    now: () => new Date(time.now()),
    steps: (runId) => instance.getSteps(runId),
    step: (job, name) => overrides.of(job, name),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function withDatabase<TJobs extends Jobs>(
  db: Kysely<unknown> | null,
  instance: Instance<TJobs>,
): Durably<TJobs> {
  const get = (): Kysely<unknown> => {
    if (db !== null) return db
    throw new ValidationError(
      'durably.db: there is no database in memory; give createTestDurably a dialect',
    )
  }
  return Object.defineProperty(instance, 'db', { get }) as Durably<TJobs>
}

async function run<J extends JobDefinition>(
  time: VirtualTime,
  instance: Instance<Jobs | null>,
  job: J,
  input: JobInput<J>,
  options: TriggerOptions | undefined,
): Promise<RunOf<J>> {
  const handle = instance.getJob(job.name)
  if (handle === undefined) {
    throw new NotFoundError(`Job "${job.name}" is not known here: list it in jobs`)
  }
  const { id } = await time.until(handle.trigger(input, options))
  const found: { run: RunOf<J> | null } = { run: null }
  const hasEnded = async (): Promise<boolean> => {
    found.run = await instance.getRun<RunOf<J>>(id)
    return found.run === null || found.run.status === 'waiting' || isTerminal(found.run.status)
  }
  const ended = await time.pass(hasEnded, RUN_LIMIT_MS)
  if (ended && found.run !== null) return found.run
  throw new ConflictError(
    `Run ${id} of job "${job.name}" did not end within ${RUN_LIMIT_MS} ms: ${time.whyNot('a step does not settle, or it may not start yet')}`,
  )
}
