import type { Dialect } from 'kysely'
import type { Codec } from '../core/codec.ts'
import { ConflictError, ValidationError } from '../core/error.ts'
import type { JobDefinition, JobInput } from '../core/job.ts'
import { requireOptions, type Names } from '../core/require-object.ts'
import { show } from '../core/show.ts'
import { isTerminal } from '../core/transitions.ts'
import { createEnv } from '../env.ts'
import type { Store } from '../store/store.ts'
import { openStore } from './connection.ts'
import type { CrashPlace } from './crash-place.ts'
import { createReport, type CrashReport } from './crash-report.ts'
import { runTrial, type Answer, type Trial } from './crash-trial.ts'
import { recordEffects, type Actor, type Recording } from './effects.ts'
import { createVirtualTime, type VirtualTime } from './virtual-time.ts'

/** The effects of the job, the answers it waits for, and where it runs. */
export interface CrashTestOptions<TEffects extends object = object> {
  /**
   * The object through which the job has its effects. During the test, its functions are recorded, and so are those of
   * plain objects in it, as `mail.send`.
   */
  readonly effects?: TEffects | undefined
  /** Names of effects that count as one effect when called with the same arguments, such as an upsert. */
  readonly idempotent?: readonly EffectName<TEffects>[] | undefined
  /**
   * Called once each time the run waits, to send it what it waits for. Without it, or if it sends nothing, time passes
   * until the run goes on by itself.
   */
  readonly answer?: Answer | undefined
  /** Called before each run, for example to empty fakes. */
  readonly reset?: (() => unknown) | undefined
  /** A Kysely dialect of a test database; the runs stay in it. Default: a new store in memory for each run. */
  readonly dialect?: Dialect | undefined
  readonly codec?: Codec | undefined
}

/** `charge`, `mail.send`, and so on; from the fourth name on any text, for types that lead on without end. */
type EffectName<T extends object, Above extends readonly unknown[] = []> = Above['length'] extends 3
  ? string
  : { [K in keyof T & string]: K | `${K}.${NameWithin<T[K], Above>}` }[keyof T & string]

type NameWithin<T, Above extends readonly unknown[]> = T extends object
  ? T extends readonly unknown[] | ((...args: never[]) => unknown)
    ? never
    : EffectName<T, [...Above, T]>
  : never

const START = Date.UTC(2030, 0, 1)

const knownOptions: Names<CrashTestOptions> = {
  effects: true,
  idempotent: true,
  answer: true,
  reset: true,
  dialect: true,
  codec: true,
}

/**
 * Runs the job once for each place where a crash can happen: before and after each write, and inside each step, before
 * and after its effects. Each time, the process dies there, and another one takes the run over and finishes it. Tells
 * whether the outputs agree, and which effects ran more often than without a crash, with the job's line.
 *
 * The findings are in the report. `crashTest` throws `ValidationError` for an input that the job refuses, or for
 * effects that cannot be recorded, and `ConflictError` for a job that does not end without a crash.
 *
 * @example
 * const report = await crashTest(importUsersJob, { url: 'https://example.com/users.csv' }, { effects: api })
 * if (!report.ok) throw new Error(report.toString())
 */
export async function crashTest<J extends JobDefinition, TEffects extends object = object>(
  job: J | ((effects: TEffects) => J),
  input: JobInput<J>,
  options: CrashTestOptions<TEffects> = {},
): Promise<CrashReport> {
  requireOptions(options, knownOptions)
  const scope = createEnv().scope<Actor>()
  if (scope === null) {
    throw new ValidationError('crashTest needs AsyncLocalStorage, which this platform lacks')
  }
  const { time, run, close } = prepareTrials(options)
  const { effects } = options
  const recording = recordEffects(effects, scope)
  try {
    const idempotent = requireEffects(options.idempotent ?? [], recording)
    const definition = typeof job === 'function' ? job(effects ?? ({} as TEffects)) : job
    const trialOf = (crashAt: CrashPlace | null): Promise<Trial> =>
      run({ scope, job: definition, input, crashAt, answer: options.answer })
    const dryRun = await trialOf(null)
    if (!isTerminal(dryRun.status)) {
      throw new ConflictError(
        `Job "${definition.name}" does not end without a crash: ${time.whyNot('a step does not settle, or it waits for an answer')}`,
      )
    }
    const control = await trialOf(null)
    const trials: Trial[] = []
    for (const place of dryRun.places) trials.push(await trialOf(place))
    const { names } = recording
    return createReport({ jobName: definition.name, names, dryRun, control, trials, idempotent })
  } finally {
    recording.stop()
    await close()
  }
}

function requireEffects(idempotent: readonly string[], { names }: Recording): Set<string> {
  for (const name of idempotent) {
    if (names.includes(name)) continue
    throw new ValidationError(
      `idempotent must name functions of effects (${names.join(', ')}); got ${show(name)}`,
    )
  }
  return new Set(idempotent)
}

type Variables = Pick<
  Parameters<typeof runTrial>[0],
  'scope' | 'job' | 'input' | 'crashAt' | 'answer'
>

/** One time for all trials; in memory, each has a store of its own. */
function prepareTrials({
  dialect,
  codec,
  reset,
}: Pick<CrashTestOptions, 'dialect' | 'codec' | 'reset'>): {
  readonly time: VirtualTime
  readonly run: (variables: Variables) => Promise<Trial>
  readonly close: () => Promise<void>
} {
  const time = createVirtualTime(START)
  const open = (): Store => openStore(dialect, time).store
  // Opened by the first trial: where there is none, there is nothing to close.
  let shared: Store | undefined
  return {
    time,
    async run(variables) {
      await reset?.()
      return runTrial({
        ...variables,
        time,
        codec,
        store: dialect === undefined ? open() : (shared ??= open()),
      })
    },
    close: async () => shared?.close(),
  }
}
