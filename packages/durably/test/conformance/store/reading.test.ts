import { describe, expect, test } from 'vitest'
import type { NewEntry } from '../../../src/core/journal.ts'
import type { RunQuery, Store } from '../../../src/store/store.ts'
import {
  act,
  claim,
  commit,
  commitOf,
  ending,
  enqueue,
  existing,
  JOB,
  newRun,
  only,
  onEveryBackend,
  START,
  startRun,
  stepDone,
} from './scenario.ts'

const OTHER_JOB = 'other job'
const MEGABYTE = 1_000_000

onEveryBackend((open) => {
  describe('a list of runs', () => {
    test('is empty when there are none', async () => {
      const [store] = await open()
      expect(await store.runs({})).toEqual([])
      expect(await store.run('a')).toBeNull()
    })

    test('goes from the newest id to the oldest', async () => {
      const [store] = await open()
      const ids = ['B', 'a', '-1', 'Z', '_', '10', '9']
      for (const id of ids) await enqueue(store, [newRun(id)])
      expect(await list(store)).toEqual([...ids].sort().reverse())
    })

    test('comes in pages, by cursor or by offset', async () => {
      const [store] = await open()
      await enqueue(
        store,
        ['a', 'b', 'c', 'd', 'e'].map((id) => newRun(id)),
      )
      expect(await list(store, { limit: 2 })).toEqual(['e', 'd'])
      expect(await list(store, { limit: 2, cursor: 'd' })).toEqual(['c', 'b'])
      expect(await list(store, { limit: 2, cursor: 'b' })).toEqual(['a'])
      expect(await list(store, { cursor: 'a' })).toEqual([])
      expect(await list(store, { limit: 2, offset: 1 })).toEqual(['d', 'c'])
      expect(await list(store, { offset: 3 })).toEqual(['b', 'a'])
      expect(await list(store, { limit: 2, offset: 1, cursor: 'e' })).toEqual(['c', 'b'])
      expect(await list(store, { offset: 9 })).toEqual([])
      expect(await list(store, { limit: 0 })).toEqual([])
    })

    test('goes on after a run that was deleted', async () => {
      const [store] = await open()
      await enqueue(
        store,
        ['a', 'b', 'c'].map((id) => newRun(id)),
      )
      await act(store, 'cancel', 'b')
      await act(store, 'delete', 'b')
      expect(await list(store, { cursor: 'b' })).toEqual(['a'])
    })

    test('has the runs of a job, a status or several, and labels that all match', async () => {
      const [store] = await open()
      const acme = { tenant: 'acme' }
      await enqueue(store, [
        newRun('a', { labels: acme }),
        newRun('b', { labels: { ...acme, region: 'eu' } }),
        newRun('c', { labels: { tenant: 'other', region: 'eu' } }),
        newRun('d', { jobName: OTHER_JOB, labels: { ...acme, region: 'eu' } }),
        newRun('e'),
      ])
      await act(store, 'cancel', 'b')
      await claim(store, { limit: 1 })
      expect(await list(store, { jobName: JOB })).toEqual(['e', 'c', 'b', 'a'])
      expect(await list(store, { statuses: [] })).toHaveLength(5)
      expect(await list(store, { statuses: ['pending'] })).toEqual(['e', 'd', 'c'])
      expect(await list(store, { statuses: ['cancelled', 'running'] })).toEqual(['b', 'a'])
      expect(await list(store, { statuses: ['waiting', 'failed'] })).toEqual([])
      expect(await list(store, { labels: {} })).toHaveLength(5)
      expect(await list(store, { labels: acme })).toEqual(['d', 'b', 'a'])
      expect(await list(store, { labels: { ...acme, region: 'eu' } })).toEqual(['d', 'b'])
      expect(await list(store, { labels: { tenant: 'ACME' } })).toEqual([])
      expect(await list(store, { labels: { none: 'acme' } })).toEqual([])
      const all: RunQuery = {
        jobName: JOB,
        statuses: ['pending', 'cancelled'],
        labels: { region: 'eu' },
      }
      expect(await list(store, { ...all, cursor: 'd', limit: 1 })).toEqual(['c'])
      expect(await list(store, { ...all, cursor: 'c' })).toEqual(['b'])
    })

    test('has whole records, each as it is read alone', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a', { labels: { tenant: 'acme' } })
      await commit(store, commitOf(claimed, [stepDone(2, 'load', START + 5)]))
      expect(await store.runs({})).toEqual([await store.run('a')])
      expect(await existing(store, 'a')).toMatchObject({ updatedAt: START + 5 })
    })
  })

  describe('a journal', () => {
    test('comes in pages after a position, with the run', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await commit(store, commitOf(claimed, [stepDone(2), stepDone(3), stepDone(4)]))
      const run = await existing(store, 'a')
      const page = async (after: number, limit: number) => {
        const found = await store.journal('a', after, limit)
        expect(found?.run).toEqual(run)
        return found?.entries.map(({ seq }) => seq)
      }
      expect(await page(0, 10)).toEqual([1, 2, 3, 4, 5])
      expect(await page(0, 2)).toEqual([1, 2])
      expect(await page(2, 2)).toEqual([3, 4])
      expect(await page(4, 2)).toEqual([5])
      expect(await page(5, 2)).toEqual([])
      expect(await page(99, 2)).toEqual([])
    })

    test('of a run that is not there is null', async () => {
      const [store] = await open()
      expect(await store.journal('a', 0, 10)).toBeNull()
    })
  })

  describe('text', () => {
    const texts = {
      'of all the world': 'ß 漢字 عربى 🏴‍☠️ e\u0301 \u2028 "quotes" \'apostrophes\' \\ $1 ? :x %s',
      'of controls': '\u0001\u001f\u007f\t\n\r',
      'of a megabyte': '🙂x'.repeat(MEGABYTE / 4),
    }

    test.each(Object.entries(texts))('%s comes back as it went', async (_, text) => {
      const [store] = await open()
      // NUL and half a surrogate pair are escapes here, as JSON writes them.
      const json = JSON.stringify({ text, nul: '\0', half: '\ud800' })
      const name = text.slice(0, 99)
      const more = { payload: { format: 'json', text: json }, labels: { [name]: name } } as const
      const keys = { jobName: name, idempotencyKey: name, concurrencyKey: name }
      const claimed = await startRun(store, 'a', { ...more, ...keys })
      expect(claimed.run).toMatchObject({ ...more, ...keys })

      const step: NewEntry = { ...stepDone(2, name), data: `{"index":0,"output":${json}}` }
      await commit(store, { ...commitOf(claimed, [step]), executing: name })
      const message = JSON.parse(json) as { text: string; nul: string; half: string }
      const error = {
        name: message.nul,
        message: message.half,
        stack: text,
        cause: { name, message: name },
      }
      await commit(store, { ...ending(claimed, 'fail', 3), transition: { name: 'fail', error } })

      const run = await existing(store, 'a')
      expect(run).toMatchObject({ ...more, ...keys, error })
      expect((await store.journal('a', 2, 1))?.entries[0]).toMatchObject(step)
      expect(await list(store, { jobName: name, labels: { [name]: name } })).toEqual(['a'])
      expect(await enqueue(store, [newRun('b', keys)])).toMatchObject([
        { disposition: 'idempotent' },
      ])
    })

    test('keeps the numbers of an output as they were written', async () => {
      const [store] = await open()
      const output = {
        format: 'json',
        text: '{"n":1e400,"z":-0,"big":12345678901234567890}',
      } as const
      const request = ending(await startRun(store, 'a'), 'complete')
      await commit(store, { ...request, transition: { name: 'complete', output } })
      expect((await existing(store, 'a')).output).toEqual(output)
    })
  })

  describe('deleting a run', () => {
    test('takes all of it and says its last position', async () => {
      const [store] = await open()
      const labels = { tenant: 'acme' }
      const claimed = await startRun(store, 'a', { labels, concurrencyKey: 'key' })
      await commit(store, ending(claimed, 'complete'))
      const run = await existing(store, 'a')
      expect(await act(store, 'delete', 'a')).toEqual({ done: true, run, lastSeq: 3 })
      expect(await store.run('a')).toBeNull()
      expect(await store.journal('a', 0, 10)).toBeNull()
      expect(await list(store, { labels })).toEqual([])
      expect(await act(store, 'delete', 'a')).toEqual({ done: false, status: null })
      expect(await commit(store, commitOf(claimed, [stepDone(3)]))).toBe('lost')
    })

    test('leaves nothing that a new run with its id would find', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { labels: { tenant: 'acme' } })])
      await act(store, 'cancel', 'a')
      await act(store, 'delete', 'a')
      expect(only(await enqueue(store, [newRun('a')]))).toMatchObject({ disposition: 'created' })
      const page = await store.journal('a', 0, 10)
      expect(page?.entries).toHaveLength(1)
      expect(page?.run.labels).toEqual({})
      expect(await list(store, { labels: { tenant: 'acme' } })).toEqual([])
    })
  })

  describe('what acts on a run says', () => {
    test.each(['cancel', 'retry'] as const)(
      'the run, the entry and its position: %s',
      async (name) => {
        const [store] = await open()
        await startRun(store, 'a')
        if (name === 'retry') await act(store, 'cancel', 'a')
        const acted = await act(store, name, 'a', START + 1)
        const page = await store.journal('a', 0, 10)
        const entry = page?.entries.at(-1)
        expect(acted).toEqual({ done: true, run: page?.run, entry, woken: [] })
        expect(page?.run.updatedAt).toBe(START + 1)
      },
    )
  })

  describe('a purge', () => {
    const ended = async (store: Store, id: string, at: number, more = {}) => {
      await enqueue(store, [newRun(id, { idempotencyKey: id, ...more })])
      await act(store, 'cancel', id, at)
    }

    test('deletes what ended before a time, the oldest first', async () => {
      const [store] = await open()
      await ended(store, 'a', START + 3)
      await ended(store, 'b', START + 1)
      await ended(store, 'c', START + 2)
      await ended(store, 'd', START + 4)
      await enqueue(store, [newRun('e')])
      expect(await store.purge({}, START + 4, 2, START)).toEqual(['b', 'c'])
      expect(await store.purge({}, START + 4, 2, START)).toEqual(['a'])
      expect(await store.purge({}, START + 4, 2, START)).toEqual([])
      expect(await list(store)).toEqual(['e', 'd'])
      expect(await store.journal('a', 0, 10)).toBeNull()
      const again = await enqueue(store, [newRun('f', { idempotencyKey: 'a' })])
      expect(again).toMatchObject([{ disposition: 'created' }])
    })

    test('leaves what runs or waits to run', async () => {
      const [store] = await open()
      await commit(store, ending(await startRun(store, 'a'), 'release'))
      await startRun(store, 'b', { jobName: OTHER_JOB })
      await ended(store, 'c', START)
      await act(store, 'retry', 'c')
      expect(await store.purge({}, START + 1_000_000, 10, START)).toEqual([])
    })

    test('deletes only what the filter asks for', async () => {
      const [store] = await open()
      await ended(store, 'a', START, { jobName: OTHER_JOB, labels: { tenant: 'acme' } })
      await ended(store, 'b', START, { labels: { tenant: 'acme' } })
      await ended(store, 'c', START)
      await commit(store, ending(await startRun(store, 'd'), 'fail'))
      const before = START + 1
      expect(
        await store.purge({ labels: { tenant: 'acme' }, jobName: JOB }, before, 9, START),
      ).toEqual(['b'])
      expect(await store.purge({ statuses: ['failed', 'completed'] }, before, 9, START)).toEqual([
        'd',
      ])
      expect(await store.purge({ statuses: ['pending'] }, before, 9, START)).toEqual([])
      expect(await store.purge({ jobName: OTHER_JOB }, before, 9, START)).toEqual(['a'])
      expect(await list(store)).toEqual(['c'])
    })
  })
})

async function list(store: Store, query: RunQuery = {}): Promise<string[]> {
  const runs = await store.runs(query)
  return runs.map(({ id }) => id)
}
