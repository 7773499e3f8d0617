import { createDurably, defineJob } from '@coji/durably'
import type { Dialect } from 'kysely'
import { z } from 'zod'
import { createDurablyHooks, useJob } from '../src/index.ts'

declare const dialect: Dialect

const importCsv = defineJob({
  name: 'import-csv',
  input: z.object({ url: z.string() }),
  output: z.object({ rows: z.number() }),
  run: () => ({ rows: 1 }),
})
const mails = defineJob({ name: 'mails', input: z.object({ to: z.string() }), run: () => {} })

const durably = createDurably({
  dialect,
  jobs: { importCsv, mails },
  labels: z.object({ tenant: z.enum(['a', 'b']) }),
})
const hooks = createDurablyHooks<typeof durably>()

export function ByName() {
  const { trigger, output, run } = hooks.useJob('import-csv')
  const rows: number | undefined = output?.rows
  const url: string | undefined = run?.payload.url
  void trigger({ url: 'x' }, { idempotencyKey: 'k' })
  const { runs } = hooks.useRuns({ jobName: 'mails', labels: { tenant: 'a' } })
  const tenants: ('a' | 'b')[] = runs.map(({ labels }) => labels.tenant)
  const client = hooks.useDurably()
  void client.jobs.mails.trigger({ to: 'Ada' })

  // @ts-expect-error -- there is no such job
  hooks.useJob('import-cvs')
  // @ts-expect-error -- the input is not what the job takes
  void trigger({ uri: 'x' })
  // The server may add it.
  void trigger({ url: 'x' }, { labels: {} })
  // @ts-expect-error -- there is no such label
  void trigger({ url: 'x' }, { labels: { tennant: 'a' } })
  // @ts-expect-error -- there is no such label
  hooks.useRuns({ labels: { tennant: 'a' } })
  // @ts-expect-error -- there is no such job
  hooks.useRuns({ jobName: 'mail' })
  return [rows, url, tenants]
}

export function ByDefinition() {
  const { triggerAndWait } = useJob(importCsv)
  const rows: Promise<number> = triggerAndWait({ url: 'x' }).then(({ output }) => output.rows)
  // @ts-expect-error -- the input is not what the job takes
  void triggerAndWait({ url: 1 })
  return rows
}
