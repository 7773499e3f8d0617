import { flushCompileCache } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  CancelledError,
  ConflictError,
  createDurably,
  NotFoundError,
  RunFailedError,
  TimeoutError,
} from '../../src/index.ts'
import { anyKey, createActs, type CrowdInstance } from './crowd-acts.ts'
import { createCrowdJobs } from './crowd-jobs.ts'
import { dialectAt, type Driver } from './places.ts'

// A process that works, and whose clients act at random until it is told to let them rest:
// `crowd-process.ts driver place effects-file`.
const [driver, at = '', effectsFile = ''] = process.argv.slice(2)
const CLIENTS = 3
const LONGEST_PAUSE_MS = 25

const durably: CrowdInstance = createDurably({
  dialect: await dialectAt({ driver: driver as Driver, at }),
  maxConcurrentRuns: 6,
  pollingInterval: 100,
  heartbeatInterval: 200,
  staleThreshold: 1000,
  maxCrashes: 1000,
  jobs: createCrowdJobs(effectsFile, (parentRunId) =>
    durably.jobs.plain.trigger(
      { fails: false },
      { idempotencyKey: parentRunId, ...(Math.random() < 0.5 ? { concurrencyKey: anyKey() } : {}) },
    ),
  ),
})
durably.on('worker:error', ({ context, error }) => {
  process.send?.({ context, error })
})
let isResting = false
process.on('message', () => {
  isResting = true
})

/** What an act may come to when another client was faster. */
const answers = [CancelledError, ConflictError, NotFoundError, RunFailedError, TimeoutError]

async function live(act: () => Promise<void>): Promise<void> {
  while (!isResting) {
    await sleep(Math.random() * LONGEST_PAUSE_MS)
    try {
      await act()
    } catch (error) {
      if (answers.some((answer) => error instanceof answer)) continue
      process.send?.({ context: 'acting', error: error instanceof Error ? error.stack : error })
    }
  }
}

await durably.init()
// It will be killed, and those who come after it need what it has compiled.
flushCompileCache()
process.send?.('ready')
const act = createActs(durably)
for (let i = 0; i < CLIENTS; i++) void live(act)
