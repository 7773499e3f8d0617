import { expect, test } from 'vitest'
import { createWriter, type CommitSource } from '../../src/engine/writer.ts'
import { createMemoryStore } from '../../src/store/memory.ts'
import type { Answer, Batch } from '../../src/store/store.ts'
import { createVirtualTime } from '../../src/testing/virtual-time.ts'
import { commitOf, newRun, startRun, stepDone } from '../conformance/store/scenario.ts'

const MILLION = 1_000_000

test('what is large travels in several transactions, none of which holds the others up', async () => {
  const time = createVirtualTime(0)
  const store = createMemoryStore()
  const sizes: number[] = []
  const writer = createWriter({
    store: {
      ...store,
      write: async (batch, now) => {
        sizes.push(sizeOf(batch))
        return store.write(batch, now)
      },
    },
    env: time.createEnv(),
    leaseMs: 10_000,
    onWritten: () => {},
    onError: (error) => expect.unreachable(String(error)),
  })
  const answers: Answer[] = []
  for (let i = 0; i < 40; i++) {
    const claim = await startRun(store, `run ${i}`)
    const entry = { ...stepDone(2), data: 'x'.repeat(MILLION) }
    const source: CommitSource = {
      run: () => claim.run,
      take: () => commitOf(claim, [entry]),
      answered: (answer) => void answers.push(answer),
      rejected: (error) => expect.unreachable(error.message),
    }
    writer.commit(source)
  }
  const payload = { format: 'json', text: JSON.stringify('x'.repeat(MILLION)) } as const
  const enqueued = Array.from({ length: 40 }, (_, i) =>
    writer.enqueue([newRun(`large ${i}`, { payload })]),
  )
  await time.until(Promise.all(enqueued))
  expect(answers).toEqual(Array.from({ length: 40 }, () => 'committed'))
  expect(sizes).toHaveLength(3)
  expect(Math.max(...sizes)).toBeLessThan(34 * MILLION)
})

function sizeOf({ commits, runs }: Batch): number {
  const entries = commits.flatMap((commit) => commit.entries)
  const chars = [...entries.map(({ data }) => data), ...runs.map(({ payload }) => payload.text)]
  return chars.reduce((sum, text) => sum + text.length, 0)
}
