import { encode, type Codec } from '../core/codec.ts'
import { parseDuration } from '../core/parse-duration.ts'
import type { Env } from '../core/env.ts'
import { ValidationError } from '../core/error.ts'
import { readLabels, requireInteger } from '../core/filter.ts'
import type { TriggerOptions } from '../core/handle.ts'
import type { JobDefinition } from '../core/job.ts'
import { parseWith } from '../core/schema.ts'
import { requireText } from '../core/require-text.ts'
import { requireDate } from '../core/require-date.ts'
import { requireOptions, type Names } from '../core/require-object.ts'
import type { Labels } from '../core/run.ts'
import { show } from '../core/show.ts'
import type { NewRun } from '../store/store.ts'

/** Makes the runs that triggers ask for. Everything is checked before anything is written. */
export interface RunFactory {
  one(job: JobDefinition, input: unknown, options: TriggerOptions): Promise<NewRun>
  many(job: JobDefinition, items: unknown): Promise<NewRun[]>
}

export interface RunFactoryOptions {
  readonly env: Env
  readonly codec: Codec
  /** What the app's schema makes of labels; `at` begins what it says of bad ones. */
  readonly parseLabels: (labels: Labels, at: string) => Promise<Labels>
}

const knownOptions: Names<TriggerOptions> = {
  idempotencyKey: true,
  concurrencyKey: true,
  labels: true,
  priority: true,
  delay: true,
  runAt: true,
  ttl: true,
  coalesce: true,
}

export function createRunFactory(factory: RunFactoryOptions): RunFactory {
  return {
    async one(job, input, options) {
      const payload = await parseWith(job.input, input, 'Invalid input')
      return newRun(factory, job, payload, options)
    },
    async many(job, items) {
      if (!Array.isArray(items)) throw new ValidationError('batchTrigger needs an array of inputs')
      const runs: NewRun[] = []
      for (const [i, item] of items.entries()) {
        const [payload, options] = await readItem(job, item, `at index ${i}`)
        runs.push(await newRun(factory, job, payload, options, `at index ${i}: `))
      }
      return runs
    },
  }
}

/**
 * `{ input, options? }` is a wrapper if the schema accepts its `input`; else, and for anything else, the item is
 * the input itself: a payload may well have a field of that name.
 */
async function readItem(
  job: JobDefinition,
  item: unknown,
  at: string,
): Promise<[payload: unknown, options: TriggerOptions]> {
  if (isWrapper(item)) {
    const result = await job.input['~standard'].validate(item.input)
    if (result.issues === undefined) return [result.value, item.options ?? {}]
    const whole = await job.input['~standard'].validate(item)
    if (whole.issues === undefined) return [whole.value, {}]
    return [await parseWith(job.input, item.input, `${at}: Invalid input`), {}]
  }
  return [await parseWith(job.input, item, `${at}: Invalid input`), {}]
}

function isWrapper(item: unknown): item is { input: unknown; options?: TriggerOptions } {
  if (typeof item !== 'object' || item === null || !('input' in item)) return false
  return Object.keys(item).every((key) => key === 'input' || key === 'options')
}

async function newRun(
  { env, codec, parseLabels }: RunFactoryOptions,
  job: JobDefinition,
  payload: unknown,
  options: TriggerOptions,
  at = '',
): Promise<NewRun> {
  checkOptions(options, at)
  const { idempotencyKey, concurrencyKey, labels, priority, ttl, coalesce } = options
  if (idempotencyKey !== undefined) requireText(idempotencyKey, `${at}idempotencyKey`)
  if (concurrencyKey !== undefined) requireText(concurrencyKey, `${at}concurrencyKey`)
  const dueAt = readDueAt(options, env.now(), at)
  return {
    id: env.id(),
    jobName: job.name,
    payload: await encode(payload, codec, `${at}payload`),
    idempotencyKey: idempotencyKey ?? null,
    concurrencyKey: concurrencyKey ?? null,
    labels: await parseLabels(labels === undefined ? {} : readLabels(labels, at), at),
    priority: priority === undefined ? 0 : requireInteger(priority, `${at}priority`, -100, 100),
    dueAt,
    expireAt: ttl === undefined ? null : env.now() + parseDuration(ttl, `${at}ttl`),
    coalesce: coalesce === 'skip',
  }
}

function checkOptions(options: TriggerOptions, at: string): void {
  requireOptions(options, knownOptions, at)
  const { coalesce, concurrencyKey } = options
  if (coalesce === undefined) return
  if (coalesce !== 'skip') {
    throw new ValidationError(`${at}coalesce must be 'skip'; got ${show(coalesce)}`)
  }
  if (concurrencyKey === undefined) {
    throw new ValidationError(
      `${at}coalesce needs a concurrencyKey that tells which runs are the same`,
    )
  }
}

function readDueAt({ delay, runAt }: TriggerOptions, now: number, at: string): number | null {
  if (delay !== undefined && runAt !== undefined) {
    throw new ValidationError(`${at}give either delay or runAt, not both`)
  }
  if (delay !== undefined) return now + parseDuration(delay, `${at}delay`)
  return runAt === undefined ? null : requireDate(runAt, `${at}runAt`)
}
