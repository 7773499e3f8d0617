import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMemoryStore } from '../../../src/store/memory.ts'
import { RejectedWriteError, type Store } from '../../../src/store/store.ts'
import { backends } from '../../backends.ts'
import { concrete, createWorld, operation, type Operation } from './operations.ts'
import { commitOf, newRun, nothing, START, startRun, stateOf, stepDone } from './scenario.ts'

// A failure prints its seed and path. DURABLY_TEST_RUNS asks for a longer search, whatever time it takes; a browser,
// where one run takes seconds, for a shorter one.
const DURABLY_TEST_RUNS = typeof process === 'undefined' ? 3 : process.env.DURABLY_TEST_RUNS
const SEARCH =
  DURABLY_TEST_RUNS === undefined
    ? { numRuns: 100, interruptAfterTimeLimit: 3000 }
    : { numRuns: Number(DURABLY_TEST_RUNS) }
const TIMEOUT_MS = 30_000 + SEARCH.numRuns * 2000
const OPERATIONS = { minLength: 20, maxLength: 60, size: 'max' } as const

test.each(backends)(
  '$name answers whatever is asked of it as the model does',
  async (backend) => {
    const property = fc.asyncProperty(fc.array(operation, OPERATIONS), async (plans) => {
      const database = await backend.open()
      try {
        await compare(plans, createMemoryStore(), await database.connect())
      } finally {
        await database.close()
      }
    })
    await fc.assert(property, SEARCH)
  },
  TIMEOUT_MS,
)

async function compare(plans: readonly Operation[], model: Store, store: Store): Promise<void> {
  const world = createWorld()
  for (const plan of plans) {
    for (const request of await concrete(plan, world, model)) {
      const expected = await request(model)
      expect(await request(store), JSON.stringify(plan)).toEqual(expected)
    }
  }
  expect(await store.look(['job', 'other job'], world.now)).toEqual(
    await model.look(['job', 'other job'], world.now),
  )
  for (const { id } of world.sent) await compareRun(id, model, store)
}

async function compareRun(id: string, model: Store, store: Store): Promise<void> {
  const page = await store.journal(id, 0, 1000)
  expect(page).toEqual(await model.journal(id, 0, 1000))
  expect(await store.mailbox(id)).toEqual(await model.mailbox(id))
  const positions = page?.entries.map(({ seq }) => seq) ?? []
  expect(positions).toEqual(positions.map((_, i) => i + 1))
}

test('the model refuses what would leave a gap, and writes nothing of the batch', async () => {
  const model = createMemoryStore()
  const claimed = await startRun(model, 'a')
  const before = await stateOf(model, 'a')
  const commits = [commitOf(claimed, [stepDone(2)]), commitOf(claimed, [stepDone(4)])]
  const batch = { ...nothing, commits, runs: [newRun('b')] }
  await expect(model.write(batch, START)).rejects.toThrow(RejectedWriteError)
  expect(await stateOf(model, 'a')).toEqual(before)
  expect(await model.run('b')).toBeNull()
})
