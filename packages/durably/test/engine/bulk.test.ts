import { expect, onTestFinished, test } from 'vitest'
import { assemble } from '../../src/durably.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'
import { act, enqueue, newRun } from '../conformance/store/scenario.ts'

test('a purge of which another one takes a part goes on to the end', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const ids = ['a', 'b', 'c', 'd', 'e']
  await enqueue(
    store,
    ids.map((id) => newRun(id)),
    0,
  )
  for (const id of ids) await act(store, 'cancel', id, 0)
  const contended: Store = {
    ...store,
    purge: (filter, before, _limit, now) => store.purge(filter, before, 2, now),
  }
  const durably = assemble(contended, time.createEnv(), {})
  onTestFinished(() => time.until(durably.close()).then(() => {}))
  expect(await durably.purgeRuns({})).toBe(5)
})
