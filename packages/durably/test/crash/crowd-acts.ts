import type { Instance, TriggerOptions } from '../../src/index.ts'
import type { createCrowdJobs } from './crowd-jobs.ts'

export type CrowdInstance = Instance<ReturnType<typeof createCrowdJobs>>

/** What clients do: how often, of all acts, and how. */
export function createActs(durably: CrowdInstance) {
  const { plain, patient, parent, flaky } = durably.jobs
  let known: readonly string[] = []
  const anyRun = (): string => known[below(known.length)] ?? 'none'
  const acts: readonly (readonly [weight: number, act: () => Promise<unknown>])[] = [
    [12, () => plain.trigger({ fails: oneIn(7) }, anyOptions())],
    [4, () => patient.trigger({}, anyOptions())],
    [3, () => parent.trigger({}, anyOptions())],
    [3, () => flaky.trigger({}, anyOptions())],
    [3, () => plain.trigger({ fails: false }, coalescing())],
    [2, () => plain.batchTrigger(Array.from({ length: 8 }, anyItem))],
    [2, () => plain.triggerAndWait({ fails: false }, { ...anyOptions(), timeout: 2000 })],
    [8, () => durably.cancel(anyRun())],
    [8, () => durably.retry(anyRun())],
    [6, () => durably.deleteRun(anyRun())],
    [2, () => durably.retrigger(anyRun())],
    [6, () => durably.signal(anyRun(), 'go', null, oneIn(2) ? { id: `word ${below(3)}` } : {})],
    [3, () => durably.wake(anyRun(), oneIn(2) ? 'nap' : 'word')],
    [1, () => durably.pauseJob('flaky')],
    [2, () => durably.resumeJob('flaky')],
    [1, () => durably.cancelRuns({ jobName: 'patient', labels: { kind: 'a' } })],
    [1, () => durably.retryRuns({ status: 'cancelled', labels: { kind: 'b' } })],
    [1, () => durably.purgeRuns({ before: new Date(Date.now() - 1500), labels: { kind: 'c' } })],
    [2, () => durably.getSteps(anyRun())],
    [3, async () => (known = (await durably.getRuns({ limit: 60 })).map(({ id }) => id))],
  ]
  const total = acts.reduce((sum, [weight]) => sum + weight, 0)

  /** One of them, drawn by weight. */
  return async (): Promise<void> => {
    let left = below(total)
    const drawn = acts.find(([weight]) => (left -= weight) < 0)
    await drawn?.[1]()
  }
}

function below(count: number): number {
  return Math.floor(Math.random() * count)
}

function oneIn(count: number): boolean {
  return below(count) === 0
}

function anyItem() {
  return { input: { fails: oneIn(7) }, options: oneIn(4) ? coalescing() : anyOptions() }
}

function anyOptions(): TriggerOptions {
  return {
    labels: { kind: 'abc'.charAt(below(3)) },
    ...(oneIn(2) ? { concurrencyKey: anyKey() } : {}),
    ...(oneIn(4) ? { idempotencyKey: `once ${below(15)}` } : {}),
    ...(oneIn(3) ? { priority: below(5) } : {}),
    ...(oneIn(5) ? { delay: 1 + below(80) } : {}),
    ...(oneIn(6) ? { ttl: 30 + below(100) } : {}),
  }
}

function coalescing(): TriggerOptions {
  return { concurrencyKey: anyKey(), coalesce: 'skip', ...(oneIn(3) ? { delay: 30 } : {}) }
}

/** Few, so that runs wait for each other. */
export function anyKey(): string {
  return `key ${below(3)}`
}
