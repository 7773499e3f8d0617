// What the types of an instance allow and refuse. It is compiled, never run.
/* oxlint-disable typescript/no-unsafe-call, typescript/no-unsafe-member-access -- loose on purpose, or refused */
import { type } from 'arktype'
import { SqliteDialect } from 'kysely'
import * as v from 'valibot'
import { z } from 'zod'
import {
  createDurably,
  defineJob,
  type Durably,
  type DurablyEvent,
  type EventHandler,
  type JobHandle,
  type JobInput,
  type JobOutput,
  type JobPayload,
  type Labels,
  type Run,
  type RunOf,
} from '../../src/index.ts'

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only if the two types are the same. */
function same<A, B>(..._same: Equal<A, B> extends true ? [] : ['types differ']): void {}

const dialect = new SqliteDialect({ database: () => Promise.reject(new Error('never opened')) })

const resize = defineJob({
  name: 'resize',
  input: z.object({ url: z.string(), width: z.string().transform(Number) }),
  output: z.object({ bytes: z.number() }),
  run: (step, { width }) => step.run('resize', () => ({ bytes: width })),
})
const send = defineJob({
  name: 'send',
  input: v.object({ to: v.string() }),
  run: async (_, { to }) => [to],
})
const size = defineJob({
  name: 'size',
  input: z.object({}),
  output: z.object({
    of: z.string().transform((text) => text.length),
    unit: z.string().default('chars'),
  }),
  run: () => ({ of: 'text' }),
})
const count = defineJob({ name: 'count', input: type({ n: 'number' }), run: (_, { n }) => n })

same<JobInput<typeof resize>, { url: string; width: string }>()
same<JobPayload<typeof resize>, { url: string; width: number }>()
same<JobOutput<typeof resize>, { bytes: number }>()
same<JobOutput<typeof send>, string[]>()
// Its schema makes of what it returns what everyone else gets.
same<JobOutput<typeof size>, { of: number; unit: string }>()
same<JobInput<typeof count>, { n: number }>()
same<(typeof resize)['name'], 'resize'>()

// With the option `jobs` everything is exact.
const durably = createDurably({ dialect, jobs: { resize, send } })
same<typeof durably.jobs.send, JobHandle<typeof send>>()
await durably.jobs.resize.trigger({ url: 'a', width: '5' })
// A handle tells as much as the definition.
same<JobInput<typeof durably.jobs.resize>, JobInput<typeof resize>>()
same<RunOf<typeof durably.jobs.resize>, RunOf<typeof resize>>()
same<RunOf<typeof durably.jobs.send>, RunOf<typeof send>>()
// @ts-expect-error -- the input is what goes in, not what the schema makes of it
await durably.jobs.resize.trigger({ url: 'a', width: 5 })
// @ts-expect-error -- a field is missing
await durably.jobs.resize.trigger({ url: 'a' })
// @ts-expect-error -- no such job
await durably.jobs.rezise.trigger({})

const { output, id } = await durably.jobs.resize.triggerAndWait({ url: 'a', width: '5' })
same<typeof output, { bytes: number }>()
same<typeof id, string>()
const run = await durably.jobs.resize.getRun('id')
same<NonNullable<typeof run>['output'], { bytes: number } | null>()
same<NonNullable<typeof run>['payload'], { url: string; width: number }>()
const [sent] = await durably.jobs.send.getRuns({ status: ['pending', 'running'] })
same<NonNullable<typeof sent>['output'], string[] | null>()

await durably.jobs.send.batchTrigger([
  { to: 'a' },
  { input: { to: 'b' }, options: { priority: 1 } },
])
// @ts-expect-error -- neither an input nor an item
await durably.jobs.send.batchTrigger([{ input: 'b' }])

// Whoever registers later gets exact handles, and may reach all of them loosely.
const { count: counter } = durably.register({ count })
same<typeof counter, JobHandle<typeof count>>()
same<(typeof counter)['name'], 'count'>()
const loose = createDurably({ dialect })
await loose.jobs.anything.trigger(1)

// Trigger options.
await counter.trigger({ n: 1 }, { delay: '5m', ttl: 1000, labels: { tenant: 'a' } })
// @ts-expect-error -- no such unit
await counter.trigger({ n: 1 }, { delay: '5 minutes' })
// @ts-expect-error -- no such option
await counter.trigger({ n: 1 }, { priorty: 1 })
// @ts-expect-error -- no such way to coalesce
await counter.trigger({ n: 1 }, { coalesce: 'last' })
// @ts-expect-error -- only triggerAndWait waits
await counter.trigger({ n: 1 }, { timeout: '1s' })
await counter.triggerAndWait({ n: 1 }, { timeout: '1s' })
// Optional properties may be given as undefined, also under exactOptionalPropertyTypes.
await counter.trigger({ n: 1 }, { idempotencyKey: undefined, labels: undefined })

// Labels.
const labelled = createDurably({
  dialect,
  labels: z.object({ tenant: z.string(), plan: z.enum(['free', 'pro']) }),
})
const { count: labelledCount } = labelled.register({ count })
await labelledCount.trigger({ n: 1 }, { labels: { tenant: 'a', plan: 'pro' } })
// @ts-expect-error -- no such plan
await labelledCount.trigger({ n: 1 }, { labels: { tenant: 'a', plan: 'gold' } })
// @ts-expect-error -- a label is missing
await labelledCount.trigger({ n: 1 }, { labels: { tenant: 'a' } })
await labelled.getRuns({ labels: { plan: 'free' } })
// @ts-expect-error -- no such label
await labelled.getRuns({ labels: { plna: 'free' } })
// @ts-expect-error -- all runs have these labels
await labelledCount.trigger({ n: 1 })
// @ts-expect-error -- in a batch, too
await labelledCount.batchTrigger([{ n: 1 }])
await labelledCount.batchTrigger([
  { input: { n: 1 }, options: { labels: { tenant: 'a', plan: 'pro' } } },
])
const [listed] = await labelled.getRuns()
same<NonNullable<typeof listed>['labels'], { tenant: string; plan: 'free' | 'pro' }>()
type Tenants = NonNullable<typeof listed>['labels']
const waited = await labelled.waitForRun<Run<unknown, number, Tenants>>('id')
same<typeof waited.output, number | null>()
labelled.on('run:fail', ({ labels }) => same<typeof labels, Tenants>())
for await (const event of labelled.subscribe('id')) {
  if (event.type === 'run:start') same<typeof event.labels, Tenants>()
}
for await (const change of labelled.subscribeRuns()) {
  if (change.type === 'run:complete') same<typeof change.labels, Tenants>()
}
// @ts-expect-error -- labels are strings
createDurably({ dialect, labels: z.object({ n: z.number() }) })
const sometimes = createDurably({ dialect, labels: z.object({ tenant: z.string().optional() }) })
const mostly = createDurably({ dialect, labels: z.object({ tenant: z.string().default('us') }) })
const defaulted = await mostly.register({ count }).count.trigger({ n: 1 })
same<typeof defaulted.labels, { tenant: string }>()
mostly satisfies Durably
await sometimes.register({ count }).count.trigger({ n: 1 })
labelled satisfies Durably
const mixed = createDurably({
  dialect,
  jobs: { count },
  labels: z.object({
    tenant: z.string(),
    region: z.enum(['us', 'eu']).default('us'),
    team: z.string().optional(),
  }),
})
mixed satisfies Durably
// What is absent is not kept as undefined, and may be given as that.
const [mixedRun] = await mixed.getRuns()
type Mixed = { tenant: string; region: 'us' | 'eu'; team?: string }
same<NonNullable<typeof mixedRun>['labels'], Mixed>()
await mixed.jobs.count.trigger({ n: 1 }, { labels: { tenant: 'a', team: undefined } })
// @ts-expect-error -- all runs have a tenant
await mixed.jobs.count.trigger({ n: 1 }, { labels: { region: 'eu' } })
declare const onFail: EventHandler<'run:fail'>
sometimes satisfies Durably
durably.on('run:fail', onFail)
labelled.on('run:fail', onFail)
sometimes.on('run:fail', onFail)
mixed.on('run:fail', onFail)
const labelledRun = await labelledCount.getRun('id')
same<NonNullable<typeof labelledRun>['labels'], { tenant: string; plan: 'free' | 'pro' }>()

// Events.
durably.on('step:fail', (event) => {
  same<typeof event, DurablyEvent<'step:fail'>>()
  same<typeof event.stepIndex, number>()
  // @ts-expect-error -- a failure has no output
  void event.output
})
// @ts-expect-error -- no such event
durably.on('run:finished', () => {})
for await (const event of durably.subscribe('id', { after: 5 })) {
  if (event.type === 'run:complete') same<typeof event.output, unknown>()
}

// Options.
// @ts-expect-error -- the dialect is required
createDurably({})
// @ts-expect-error -- no such unit
createDurably({ dialect, pollingInterval: '1 second' })
// @ts-expect-error -- a codec decodes too
createDurably({ dialect, codec: { encode: JSON.stringify } })

// Definitions.
// @ts-expect-error -- the output is not what its schema says
defineJob({ name: 'x', input: z.null(), output: z.string(), run: () => 5 })
// @ts-expect-error -- what its schema makes of it is not what it takes
defineJob({ name: 'x', input: z.null(), output: z.string().transform(Number), run: () => 5 })
defineJob({ name: 'x', input: z.null(), output: undefined, signals: undefined, run: () => 5 })
// @ts-expect-error -- a schema is required
defineJob({ name: 'x', run: () => 5 })

// An instance of any jobs can be passed on.
const anyInstance: Durably = loose
anyInstance.getJob('resize') satisfies JobHandle | undefined
const plainRun: Run | undefined = (await anyInstance.getRuns())[0]
plainRun?.labels satisfies Labels | undefined
