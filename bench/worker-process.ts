import { createDurably } from '@coji/durably'
import { sharedAt } from './databases.ts'
import { first, ticking, whenFirstLine } from './jobs.ts'

// Executes runs of `first` and tells the process that started it when each began, by the clock they share.
whenFirstLine((id) => process.send?.({ id, at: String(process.hrtime.bigint()) }))
const durably = createDurably({
  ...sharedAt(process.argv[2] ?? ''),
  jobs: { first, ticking },
})
await durably.init()
process.send?.({ id: 'ready', at: '0' })
