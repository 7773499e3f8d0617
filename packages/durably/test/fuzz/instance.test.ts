import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { JobHandle } from '../../src/core/handle.ts'
import { attempt, hostile, hostileOptions } from './hostile.ts'
import { fuzzedBackends, openInstance, type OpenInstance } from './open-instance.ts'

interface Target extends OpenInstance {
  /** A run that completed. */
  readonly runId: string
}

/** What is called, with values that no type could stop: `any` in all but name. */
type Call = (target: Target, first: never, second: never) => unknown

const any = hostile()
const page = hostileOptions('after', 'limit')
const filter = hostileOptions('jobName', 'status', 'labels', 'limit', 'offset', 'cursor')
const bulk = hostileOptions('jobName', 'status', 'labels', 'before')
const trigger = hostileOptions(
  'idempotencyKey',
  'concurrencyKey',
  'labels',
  'priority',
  'delay',
  'runAt',
  'ttl',
  'coalesce',
)
const item = fc.oneof(any, fc.record({ input: any, options: trigger }))
// An ordinary timeout, so that a run that was put off is not waited for.
const patience = fc
  .record({ labels: any, idempotencyKey: any, priority: any }, { requiredKeys: [] })
  .map((options) => ({ ...options, timeout: 1000 }))

const calls: [name: string, first: fc.Arbitrary<unknown>, second: fc.Arbitrary<unknown>, Call][] = [
  ['trigger', any, trigger, ({ echo }, input, options) => echo.trigger(input, options)],
  [
    'triggerAndWait',
    any,
    fc.oneof(any, patience),
    ({ echo }, input, options) => echo.triggerAndWait(input, options),
  ],
  [
    'batchTrigger',
    fc.oneof(any, fc.array(item)),
    any,
    ({ echo }, items) => echo.batchTrigger(items),
  ],
  ['handle.getRun', any, any, ({ echo }, id) => echo.getRun(id)],
  ['handle.getRuns', filter, any, ({ echo }, wanted) => echo.getRuns(wanted)],
  ['getRun', any, any, ({ durably }, id) => durably.getRun(id)],
  ['getRuns', filter, any, ({ durably }, wanted) => durably.getRuns(wanted)],
  ['getSteps', any, any, ({ durably }, id) => durably.getSteps(id)],
  ['getLogs', any, page, ({ durably }, id, which) => durably.getLogs(id, which)],
  ['getLogs of a run', any, page, ({ durably, runId }, _, which) => durably.getLogs(runId, which)],
  ['getJob', any, any, ({ durably }, name) => durably.getJob(name)],
  ['cancel', any, any, ({ durably }, id) => durably.cancel(id)],
  ['retry', any, any, ({ durably }, id) => durably.retry(id)],
  ['deleteRun', any, any, ({ durably }, id) => durably.deleteRun(id)],
  ['retrigger', any, any, ({ durably }, id) => durably.retrigger(id)],
  ['cancelRuns', bulk, any, ({ durably }, wanted) => durably.cancelRuns(wanted)],
  ['retryRuns', bulk, any, ({ durably }, wanted) => durably.retryRuns(wanted)],
  ['purgeRuns', bulk, any, ({ durably }, wanted) => durably.purgeRuns(wanted)],
  ['pauseJob', any, any, ({ durably }, name) => durably.pauseJob(name)],
  ['resumeJob', any, any, ({ durably }, name) => durably.resumeJob(name)],
  ['on', any, any, ({ durably }, type, handler) => durably.on(type, handler)],
  ['on a type', any, any, ({ durably }, handler) => durably.on('run:start', handler)],
  ['onError', any, any, ({ durably }, handler) => durably.onError(handler)],
  ['register', any, any, ({ durably }, jobs) => durably.register(jobs)],
  ['register a job', any, any, ({ durably }, job) => durably.register({ job })],
  ['waitForRun', any, any, ({ durably }, id, how) => durably.waitForRun(id, how)],
  [
    'waitForRun of a run',
    any,
    hostileOptions('timeout', 'signal'),
    ({ durably, runId }, _, how) => durably.waitForRun(runId, how),
  ],
  ['subscribe', any, page, ({ durably }, id, how) => readAll(durably.subscribe(id, how))],
  [
    'subscribe to a run',
    any,
    page,
    ({ durably, runId }, _, how) => readAll(durably.subscribe(runId, how)),
  ],
  [
    'stop',
    hostileOptions('timeout'),
    any,
    async ({ durably }, how) => {
      await durably.stop(how)
      durably.start()
    },
  ],
  [
    'processUntilIdle',
    hostileOptions('maxRuns', 'maxTime'),
    any,
    ({ durably }, how) => durably.processUntilIdle(how),
  ],
]

describe.each(fuzzedBackends)('$name', (backend) => {
  test.each(calls)('%s answers, or refuses what it is given', async (_, first, second, call) => {
    const opened = await openInstance(backend)
    const { id } = await opened.echo.triggerAndWait('before')
    const target = { ...opened, runId: id }
    await fc.assert(
      fc.asyncProperty(first, second, async (one, other) => {
        await attempt(() => call(target, one as never, other as never))
      }),
      { numRuns: 60 },
    )
    await opened.check()
  })

  test('what was accepted is done, or can be called off', async () => {
    const { durably, echo, check } = await openInstance(backend)
    const accepted: string[] = []
    await fc.assert(
      fc.asyncProperty(any, async (input) => {
        const answer = await attempt(() => echo.trigger(input))
        if (!(answer instanceof Error)) accepted.push(idOf(answer))
      }),
      { numRuns: 200 },
    )
    for (const id of accepted) {
      const { payload, output } = await durably.waitForRun(id, { timeout: '10s' })
      expect(output).toEqual(payload ?? null)
    }
    await check()
  })
})

function idOf(answer: unknown): string {
  return (answer as Awaited<ReturnType<JobHandle['trigger']>>).id
}

async function readAll(stream: ReadableStream): Promise<void> {
  for await (const event of stream) expect(event).toHaveProperty('type')
}
