import { expect, test } from 'vitest'
import { createDictionary } from '../../src/core/dictionary.ts'
import type { Execution } from '../../src/engine/execution.ts'
import { createLeaseKeeper } from '../../src/engine/lease-keeper.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'
import { claim, enqueue, existing, newRun, only } from '../conformance/store/scenario.ts'

const IDLE_HEARTBEAT_MS = 60_000

test('a run whose claim is not answered for two renewals is handed back, and is not to be executed', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const worker = { workerId: 'worker', leaseMs: 10 * IDLE_HEARTBEAT_MS }
  await enqueue(store, [newRun('a')], 0)
  const { run } = only(await claim(store, worker, 0))
  const keeper = createLeaseKeeper({
    store,
    env: time.createEnv(),
    worker,
    heartbeatMs: 1000,
    executions: createDictionary<Execution>(),
    onError: (error) => expect.unreachable(String(error)),
    onHandedBack: () => expect.unreachable('its claim was not heard of'),
  })
  const lease = { runId: run.id, generation: run.generation }
  await time.advance(IDLE_HEARTBEAT_MS)
  expect(keeper.handedBack(lease)).toBeUndefined()
  await time.advance(IDLE_HEARTBEAT_MS)
  expect(await existing(store, 'a')).toMatchObject({ status: 'pending' })
  expect(keeper.handedBack({ ...lease, generation: lease.generation + 1 })).toBeUndefined()
  expect(await keeper.handedBack(lease)).toMatchObject([{ entry: { kind: 'run:release' } }])
  await keeper.leave()
})
