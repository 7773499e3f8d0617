import { describe, expect, test } from 'vitest'
import type { NewRun } from '../../../src/store/store.ts'
import {
  act,
  claim,
  claimRequest,
  commit,
  ending,
  enqueue,
  existing,
  idsOf,
  JOB,
  LEASE_MS,
  leaseOf,
  newRun,
  nothing,
  only,
  onEveryBackend,
  reclaim,
  SECOND,
  START,
  startRun,
} from './scenario.ts'

const LATER = START + SECOND
const OTHER_JOB = 'other job'
const JOBS = [JOB, OTHER_JOB]

const keyed = (id: string, more: Partial<NewRun> = {}) =>
  newRun(id, { concurrencyKey: 'key', ...more })

onEveryBackend((open) => {
  test('runs of one key go one at a time, by due time and id, whatever their priority', async () => {
    const [store] = await open()
    await enqueue(store, [
      keyed('c', { priority: 100 }),
      keyed('d', { dueAt: START - 1, jobName: OTHER_JOB }),
      keyed('b', { priority: -100 }),
      newRun('e', { concurrencyKey: 'other key' }),
      newRun('f'),
    ])
    expect(idsOf(await claim(store, { jobs: JOBS }))).toEqual(['d', 'e', 'f'])
    expect(await store.look(JOBS, START)).toMatchObject({ ready: false })
    for (const [holder, next] of [
      ['d', 'b'],
      ['b', 'c'],
    ] as const) {
      await act(store, 'cancel', holder)
      expect(await store.look(JOBS, START)).toMatchObject({ ready: true })
      expect(idsOf(await claim(store, { jobs: JOBS }))).toEqual([next])
    }
  })

  test.each(['complete', 'fail'] as const)('a run that is over frees its key: %s', async (end) => {
    const [store] = await open()
    const claimed = await startRun(store, 'a', keyed('a'))
    await enqueue(store, [keyed('b')])
    expect(await claim(store)).toEqual([])
    const batch = { ...nothing, commits: [ending(claimed, end)], claim: claimRequest() }
    expect(idsOf((await store.write(batch, LATER)).claimed)).toEqual(['b'])
  })

  test('a key that ends before its runs do can be used again', async () => {
    const [store] = await open()
    await commit(store, ending(await startRun(store, 'a', keyed('a')), 'complete'))
    await commit(store, ending(await startRun(store, 'b', keyed('b')), 'complete'))
    await act(store, 'delete', 'a')
    await act(store, 'delete', 'b')
    expect((await startRun(store, 'c', keyed('c'))).run.id).toBe('c')
  })

  test('cancelling a run that waits for its key changes nothing for the others', async () => {
    const [store] = await open()
    await enqueue(store, [keyed('a'), keyed('b'), keyed('c')])
    await act(store, 'cancel', 'b')
    expect(idsOf(await claim(store))).toEqual(['a'])
    await act(store, 'cancel', 'a')
    expect(idsOf(await claim(store))).toEqual(['c'])
  })

  test('cancelling the first before it started lets the next go', async () => {
    const [store] = await open()
    await enqueue(store, [keyed('a'), keyed('b')])
    await act(store, 'cancel', 'a')
    expect(idsOf(await claim(store))).toEqual(['b'])
  })

  test('a first that expires lets the next go', async () => {
    const [store] = await open()
    await enqueue(store, [keyed('a', { expireAt: LATER }), keyed('b')])
    expect(await claim(store, {}, LATER)).toEqual([])
    await store.promote(10, LATER)
    expect(idsOf(await claim(store, {}, LATER))).toEqual(['b'])
  })

  describe('the key is held from the first claim on', () => {
    test('through a hand-back by the holder', async () => {
      const [store] = await open()
      await commit(store, ending(await startRun(store, 'b', keyed('b')), 'release'))
      await enqueue(store, [keyed('a', { dueAt: START - SECOND })])
      expect(idsOf(await claim(store))).toEqual(['b'])
    })

    test('through a hand-back by act', async () => {
      const [store] = await open()
      const { run } = await startRun(store, 'b', keyed('b'))
      await store.act({ transition: 'release', ...leaseOf(run) }, START)
      await enqueue(store, [keyed('a', { dueAt: START - SECOND })])
      expect(idsOf(await claim(store))).toEqual(['b'])
    })

    test('through a dead worker, taken over or handed on', async () => {
      const [store] = await open()
      await startRun(store, 'b', keyed('b'))
      await enqueue(store, [keyed('a', { dueAt: START - SECOND })])
      const dead = START + 2 * LEASE_MS
      expect(await claim(store, { workerId: 'other' }, dead)).toEqual([])
      const { claimed } = await reclaim(store, {}, dead)
      expect(idsOf(claimed)).toEqual(['b'])
      expect(await claim(store, { workerId: 'other' }, dead)).toEqual([])
      const deadAgain = dead + 2 * LEASE_MS
      const { others } = await reclaim(store, { workerId: 'third', jobs: [] }, deadAgain)
      expect(idsOf(others)).toEqual(['b'])
      expect(idsOf(await claim(store, {}, deadAgain))).toEqual(['b'])
    })

    test('until a dead worker was one too many', async () => {
      const [store] = await open()
      await startRun(store, 'b', keyed('b'))
      await enqueue(store, [keyed('c')])
      const dead = START + 2 * LEASE_MS
      const { others } = await reclaim(store, { maxCrashes: 1 }, dead)
      expect(only(others).run).toMatchObject({ id: 'b', status: 'failed' })
      expect(idsOf(await claim(store, {}, dead))).toEqual(['c'])
    })
  })

  describe('an earlier run takes the place of one that has not started', () => {
    test('when it is enqueued', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('b')])
      await enqueue(store, [keyed('c', { dueAt: START - SECOND })])
      await enqueue(store, [keyed('a')])
      for (const id of ['c', 'a', 'b']) {
        expect(idsOf(await claim(store))).toEqual([id])
        await act(store, 'cancel', id)
      }
    })

    test('when it is retried, keeping its due time', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('a')])
      await act(store, 'cancel', 'a')
      await enqueue(store, [keyed('b', { dueAt: LATER })], LATER)
      await act(store, 'retry', 'a', LATER)
      expect((await existing(store, 'a')).dueAt).toBe(START)
      expect(idsOf(await claim(store, {}, LATER))).toEqual(['a'])
    })

    test('when it is retried by a process whose clock lags behind, once it has started', async () => {
      const [store] = await open()
      await startRun(store, 'a', keyed('a'))
      await act(store, 'cancel', 'a')
      await enqueue(store, [keyed('b', { dueAt: LATER })], LATER)
      await act(store, 'retry', 'a', START - SECOND)
      expect(idsOf(await claim(store, {}, LATER))).toEqual(['a'])
    })

    test('when it becomes due', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('a', { dueAt: LATER })])
      const now = LATER + SECOND
      await enqueue(store, [keyed('b')], now)
      await store.promote(10, now)
      expect(idsOf(await claim(store, {}, now))).toEqual(['a'])
    })

    test('but not of one that runs', async () => {
      const [store] = await open()
      await startRun(store, 'b', keyed('b'))
      await enqueue(store, [keyed('a', { dueAt: START - SECOND })])
      expect(await claim(store)).toEqual([])
    })
  })

  test('a later run that becomes due waits behind the others', async () => {
    const [store] = await open()
    await enqueue(store, [keyed('a'), keyed('c', { dueAt: LATER }), keyed('b', { dueAt: LATER })])
    await store.promote(10, LATER)
    expect(await store.look([JOB], LATER)).toMatchObject({ ready: true, nextDueAt: null })
    for (const id of ['a', 'b', 'c']) {
      expect(idsOf(await claim(store, {}, LATER))).toEqual([id])
      await act(store, 'cancel', id, LATER)
    }
  })

  test('a retried run stands in line again, holding nothing', async () => {
    const [store] = await open()
    await commit(store, ending(await startRun(store, 'b', keyed('b')), 'fail'))
    await enqueue(store, [keyed('a', { dueAt: START - SECOND })])
    await act(store, 'retry', 'b')
    expect(idsOf(await claim(store))).toEqual(['a'])
    await act(store, 'cancel', 'a')
    expect(idsOf(await claim(store))).toEqual(['b'])
  })

  test('a first whose job is paused or unknown blocks its key', async () => {
    const [store] = await open()
    await enqueue(store, [keyed('a'), keyed('b', { jobName: OTHER_JOB })])
    await store.setPaused(JOB, true, START)
    expect(await store.look(JOBS, START)).toMatchObject({ ready: false })
    expect(await claim(store, { jobs: JOBS })).toEqual([])
    await store.setPaused(JOB, false, START)
    expect(await claim(store, { jobs: [OTHER_JOB] })).toEqual([])
    expect(idsOf(await claim(store, { jobs: JOBS }))).toEqual(['a'])
  })

  test('three processes never run two of one key at a time, and leave none behind', async () => {
    const stores = await open(3)
    const ids = Array.from({ length: 24 }, (_, i) => `run-${String(i).padStart(2, '0')}`)
    const keyOf = (id: string) => `key-${Number(id.slice(-2)) % 3}`
    const running = new Map<string, string>()
    const order: string[] = []

    const work = async (index: number): Promise<void> => {
      const store = stores[index] ?? stores[0]
      const share = ids.filter((_, i) => i % stores.length === index)
      for (const id of share) await enqueue(store, [newRun(id, { concurrencyKey: keyOf(id) })])
      for (let idle = 0; idle < 50 && order.length < ids.length; idle++) {
        for (const claimed of await claim(store, { workerId: `worker-${index}`, limit: 2 })) {
          const key = keyOf(claimed.run.id)
          expect(running.get(key)).toBeUndefined()
          running.set(key, claimed.run.id)
          order.push(claimed.run.id)
          await store.renew({ workerId: `worker-${index}`, leaseMs: LEASE_MS }, START)
          running.delete(key)
          expect(await commit(store, ending(claimed, 'complete'))).toBe('committed')
          idle = 0
        }
      }
    }
    await Promise.all(stores.map((_, index) => work(index)))

    expect([...order].sort()).toEqual(ids)
  })
})
