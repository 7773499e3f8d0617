import { expect, test } from 'vitest'
import type { NewEntry } from '../../../src/core/journal.ts'
import {
  commit,
  commitOf,
  kindsOf,
  nothing,
  onEveryBackend,
  START,
  startRun,
  stepDone,
} from './scenario.ts'

// Around the sizes in which rows are sent, and beyond what one statement takes.
const SIZES = [1, 2, 3, 4, 5, 127, 128, 129, 300]

function stepsAfter(position: number, count: number): NewEntry[] {
  return Array.from({ length: count }, (_, i) => stepDone(position + i, `step ${i}`))
}

onEveryBackend((open) => {
  test('a commit of any size is written whole, and found when it is sent again', async () => {
    const [store] = await open()
    for (const size of SIZES) {
      const claimed = await startRun(store, `run-${size}`)
      const { runId } = commitOf(claimed, []).lease
      const entries = stepsAfter(claimed.entry.seq, size)
      for (const when of ['sent', 'sent again']) {
        const answer = await commit(store, commitOf(claimed, entries))
        expect(answer, `${size} entries, ${when}`).toBe('committed')
        const page = await store.journal(runId, claimed.entry.seq, 1000)
        const written = page?.entries.map(({ seq, name, data }) => ({ seq, name, data }))
        expect(written).toEqual(entries.map(({ seq, name, data }) => ({ seq, name, data })))
      }
    }
  })

  test('of a large batch, what has lost its lease is left out and nothing else', async () => {
    const [store] = await open()
    const first = await startRun(store, 'first')
    const stale = await startRun(store, 'stale')
    const last = await startRun(store, 'last')
    await store.act({ transition: 'cancel', runId: 'stale' }, START)
    const before = await kindsOf(store, 'stale')
    const commits = [first, stale, last].map((claimed) =>
      commitOf(claimed, stepsAfter(claimed.entry.seq, 100)),
    )
    const written = await store.write({ ...nothing, commits }, START)
    expect(written.commits).toEqual(['committed', 'cancelled', 'committed'])
    expect(await kindsOf(store, 'stale')).toEqual(before)
    expect((await kindsOf(store, 'first')).filter((kind) => kind === 'step:complete')).toHaveLength(
      100,
    )
    expect((await kindsOf(store, 'last')).filter((kind) => kind === 'step:complete')).toHaveLength(
      100,
    )
  })
})
