import { flushCompileCache } from 'node:module'
import { createDurably } from '../../src/index.ts'
import { createRecordedJob } from './job.ts'
import { createKiller, type KillPoint } from './kill-points.ts'
import { dialectAt, type Driver } from './places.ts'

// A worker as a process of its own, to be killed at any moment: `worker-process.ts driver place effects-file
// kill-point`.
const [driver, at = '', effectsFile = '', point = 'null'] = process.argv.slice(2)
const killer = createKiller(JSON.parse(point) as KillPoint | null)
const durably = createDurably({
  dialect: await dialectAt({ driver: driver as Driver, at }, killer),
  maxConcurrentRuns: 3,
  pollingInterval: 100,
  heartbeatInterval: 200,
  staleThreshold: 1000,
  maxCrashes: 1000,
  jobs: { recorded: createRecordedJob(effectsFile, killer.inStep) },
})
durably.on('worker:error', ({ context, error }) => {
  process.send?.({ context, error })
})
await durably.init()
// It will be killed, and those who come after it need what it has compiled.
flushCompileCache()
process.send?.('ready')
