import type { Dialect } from 'kysely'
import { z } from 'zod'
import { createDurablyClient, type Client } from '../../src/client.ts'
import { createDurably, createDurablyHandler, defineJob, type Durably } from '../../src/index.ts'

declare const dialect: Dialect

const importCsv = defineJob({
  name: 'import-csv',
  input: z.object({ url: z.string() }),
  output: z.object({ rows: z.number() }),
  run: () => ({ rows: 1 }),
})

export async function typedByTheServer() {
  const durably = createDurably({
    dialect,
    jobs: { importCsv },
    labels: z.object({ tenant: z.enum(['a', 'b']) }),
  })
  const client = createDurablyClient<typeof durably>({ api: '/api' })

  const run = await client.jobs.importCsv.trigger({ url: 'x' }, { labels: { tenant: 'a' } })
  const url: string = run.payload.url
  const rows: number | undefined = run.output?.rows
  // The label may be one that the server adds.
  const { output } = await client.jobs.importCsv.triggerAndWait({ url })
  const sure: number = output.rows
  const tenant: 'a' | 'b' = (await client.waitForRun(run.id)).labels.tenant
  client.subscribeRuns({ labels: { tenant } })
  const shown: 'a' | 'b' | undefined = (await client.getRuns({ labels: { tenant } }))[0]?.labels
    .tenant

  // @ts-expect-error -- there is no such job
  void client.jobs.importCvs
  // @ts-expect-error -- the input is not what the job takes
  await client.jobs.importCsv.trigger({ uri: 'x' })
  // @ts-expect-error -- the label has no such value
  await client.jobs.importCsv.trigger({ url: 'x' }, { labels: { tenant: 'c' } })
  // @ts-expect-error -- a client executes nothing
  void client.init
  // @ts-expect-error -- nothing of it says where the handler is
  createDurablyClient<typeof durably>({})

  // The instance itself is such a client.
  const same: typeof client = durably
  return [rows, sure, same, shown]
}

export async function labelsOfTheServer() {
  const labels = z.object({ tenant: z.string().default('us') })
  const durably = createDurably({ dialect, jobs: { importCsv }, labels })
  const client = createDurablyClient<typeof durably>({ api: '/api' })
  const { labels: kept } = await client.jobs.importCsv.trigger({ url: 'x' })
  const mixed = z.object({ tenant: z.string().default('us'), team: z.string() })
  createDurablyHandler(createDurably({ dialect, jobs: { importCsv }, labels: mixed }))
  return kept.tenant.length
}

export async function anyJobs(durably: Durably) {
  const loose: Client = createDurablyClient({ api: '/api' })
  await loose.getJob('anything')?.trigger({ goes: true })
  const deliberately: Client = createDurablyClient<typeof durably>({ api: '/api' })
  const same: Client = durably
  return [deliberately, same]
}
