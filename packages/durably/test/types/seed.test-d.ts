// The example of the page that defines createDurably, as an app's compiler sees it. It is compiled, never run.
/* oxlint-disable typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-misused-promises -- as the page has it */
import { LibsqlDialect } from '@libsql/kysely-libsql'
import { createClient } from 'libsql-client-08'
import { z } from 'zod'
import { createDurably, defineJob, type Run } from '../../src/index.ts'

const client = createClient({ url: 'file:local.db' })
const dialect = new LibsqlDialect({ client })

const durably = createDurably({
  dialect,
  pollingInterval: 1000,
  heartbeatInterval: 5000,
  staleThreshold: 30000,
})

await durably.init()

const myJobDef = defineJob({
  name: 'my-job',
  input: z.object({ id: z.string() }),
  run: async (step, payload) => {
    await step.run('use', () => payload.id.length)
  },
})

const { myJob } = durably.register({ myJob: myJobDef })

await durably.jobs.myJob.trigger({ id: '123' })
await myJob.trigger({ id: '123' })

process.on('SIGTERM', async () => {
  await durably.stop()
})

type MyRun = Run & { payload: { userId: string }; output: { count: number } | null }
const typedRun = await durably.getRun<MyRun>('id')
typedRun?.payload.userId satisfies string | undefined
const runs = await durably.getRuns<MyRun>({ jobName: 'my-job' })
runs[0]?.output?.count satisfies number | undefined
const run = await durably.getRun('id')
run satisfies Run | null

const stop = durably.on('run:complete', ({ output, duration }) => {
  output satisfies unknown
  duration satisfies number
})
stop()
