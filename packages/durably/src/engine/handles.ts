import type { Codec } from '../core/codec.ts'
import type {
  Disposition,
  JobHandle,
  TriggerAndWaitOptions,
  TriggerOptions,
} from '../core/handle.ts'
import type { JobDefinition } from '../core/job.ts'
import { requireObject } from '../core/require-object.ts'
import { decodeOutput, toRun, type Run, type RunRecord } from '../core/run.ts'
import { waitHow, type WaitHow } from '../core/wait-how.ts'
import type { Enqueued, NewRun } from '../store/store.ts'
import type { Reads } from './reads.ts'
import type { RunFactory } from './trigger.ts'

export interface HandlesOptions {
  readonly runs: RunFactory
  readonly reads: Reads
  readonly codec: Codec
  readonly enqueue: (runs: readonly NewRun[]) => Promise<readonly Enqueued[]>
  readonly waits: Waits
}

/** Waits for runs that complete; else they reject. */
interface Waits {
  ended(runId: string, how: WaitHow): Promise<Outcome>
  /** A run that is about to be made. */
  expect(runId: string): { outcome(how: WaitHow): Promise<Outcome>; stop(): void }
}

type Outcome = Pick<RunRecord, 'id' | 'output'>

/** The handle of a job: triggers it and reads its runs. */
export function createHandle(job: JobDefinition, options: HandlesOptions): JobHandle {
  const { runs, reads, codec, enqueue } = options
  const { name } = job
  return {
    name,
    async trigger(input, triggerOptions = {}) {
      const [enqueued] = await enqueue([await runs.one(job, input, triggerOptions)])
      return toAnswer(enqueued, codec)
    },
    triggerAndWait: (input, waitOptions = {}) => triggerAndWait(job, input, waitOptions, options),
    async batchTrigger(items) {
      const newRuns = await runs.many(job, items)
      if (newRuns.length === 0) return []
      const enqueued = await enqueue(newRuns)
      return newRuns.map((_, i) => toAnswer(enqueued[i], codec))
    },
    async getRun(runId) {
      const run = await reads.getRun(runId)
      return run?.jobName === name ? run : null
    },
    async getRuns(filter = {}) {
      requireObject(filter, 'filter')
      return reads.getRuns({ ...filter, jobName: name })
    },
  }
}

async function triggerAndWait(
  job: JobDefinition,
  input: unknown,
  options: TriggerAndWaitOptions,
  { runs, codec, enqueue, waits }: HandlesOptions,
): Promise<{ id: string; output: unknown; disposition: Disposition }> {
  requireObject(options, 'options')
  const { timeout, ...triggerOptions } = options
  const how = waitHow('triggerAndWait', { timeout })
  const run = await runs.one(job, input, triggerOptions satisfies TriggerOptions)
  const expected = waits.expect(run.id)
  try {
    const [enqueued] = await enqueue([run])
    const {
      disposition,
      run: { id },
    } = answered(enqueued)
    const ended = await (disposition === 'created' ? expected.outcome(how) : waits.ended(id, how))
    return { id, output: decodeOutput(ended, codec), disposition }
  } finally {
    expected.stop()
  }
}

function toAnswer(
  enqueued: Enqueued | undefined,
  codec: Codec,
): Run & { readonly disposition: Disposition } {
  const { run, disposition } = answered(enqueued)
  return { ...toRun(run, codec), disposition }
}

function answered(enqueued: Enqueued | undefined): Enqueued {
  if (enqueued === undefined) throw new Error('The store gave no answer to a trigger')
  return enqueued
}
