import { describe, expect, test } from 'vitest'
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
  kindsOf,
  LEASE_MS,
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

onEveryBackend((open) => {
  test.each([
    ['nothing renews no', false],
    ['something renews the', true],
  ])('a claim that finds %s lease', async (_, finds) => {
    const [store] = await open()
    const held = await startRun(store, 'a')
    await store.renew({ workerId: 'worker', leaseMs: 0 }, START)
    if (finds) await enqueue(store, [newRun('b')])
    expect(idsOf(await claim(store))).toEqual(finds ? ['b'] : [])
    const { claimed } = await reclaim(store, {}, LATER)
    expect(idsOf(claimed)).toEqual(finds ? [] : [held.run.id])
  })

  test.each([
    ['leaves a lease as it is of which an eighth is gone', LEASE_MS / 8, {}, ['a', 'b']],
    ['renews one of which more is gone', LEASE_MS / 8 + SECOND, {}, []],
    ['renews it with the jobs that are known now', SECOND, { jobs: [JOB, 'other job'] }, []],
  ])('a claim %s', async (_, later, more, orphans) => {
    const [store] = await open()
    await startRun(store, 'a')
    await enqueue(store, [newRun('b')])
    // Where the clock of the database counts, it is some milliseconds off.
    expect(idsOf(await claim(store, more, START + later - 100))).toEqual(['b'])
    const { claimed } = await reclaim(store, {}, START + LEASE_MS + 100)
    expect(idsOf(claimed)).toEqual(orphans)
  })

  test('a claim gives the run and what it wrote', async () => {
    const [store] = await open()
    await enqueue(store, [newRun('a')])
    const { run, entry } = only(await claim(store, {}, LATER))
    expect(run).toMatchObject({
      status: 'running',
      generation: 1,
      attempt: 1,
      startedAt: LATER,
      updatedAt: LATER,
      createdAt: START,
      expireAt: null,
    })
    expect(run).toEqual(await existing(store, 'a'))
    expect(entry).toEqual({
      runId: 'a',
      seq: 2,
      generation: 1,
      kind: 'run:start',
      name: null,
      at: LATER,
      data: '{"attempt":1}',
    })
    expect(await store.leases('worker')).toEqual([{ runId: 'a', generation: 1, inbox: 0 }])
    expect(await claim(store, { workerId: 'other' }, LATER)).toEqual([])
  })

  test('the first start stays the first', async () => {
    const [store] = await open()
    await commit(store, ending(await startRun(store, 'a'), 'release'))
    const { run } = only(await claim(store, {}, LATER))
    expect(run).toMatchObject({ startedAt: START, generation: 2, attempt: 1 })
  })

  test('goes by priority, then due time, then id, over all jobs', async () => {
    const [store] = await open()
    await enqueue(store, [
      newRun('d', { dueAt: START - 1 }),
      newRun('b'),
      newRun('f', { priority: -1, dueAt: START - 2 }),
      newRun('a', { jobName: 'other job' }),
      newRun('c', { priority: 100 }),
      newRun('e', { priority: 100, jobName: 'other job', dueAt: START - 1 }),
    ])
    const jobs = [JOB, 'other job']
    expect(idsOf(await claim(store, { jobs, limit: 4 }))).toEqual(['e', 'c', 'd', 'a'])
    expect(idsOf(await claim(store, { jobs }))).toEqual(['b', 'f'])
  })

  test('goes by id as text of code points, whatever the database collates', async () => {
    const [store] = await open()
    const ids = ['B', 'a', '-1', 'Z', '_', '10', '9', 'é']
    await enqueue(
      store,
      ids.map((id) => newRun(id)),
    )
    expect(idsOf(await claim(store))).toEqual([...ids].sort())
  })

  test('takes only runs of jobs that the worker knows', async () => {
    const [store] = await open()
    await enqueue(store, [newRun('a', { jobName: 'unknown' }), newRun('b')])
    expect(idsOf(await claim(store))).toEqual(['b'])
    expect(await claim(store, { jobs: [] })).toEqual([])
    expect((await existing(store, 'a')).status).toBe('pending')
  })

  test('takes at most as many as asked for', async () => {
    const [store] = await open()
    await enqueue(store, [newRun('a'), newRun('b'), newRun('c')])
    expect(idsOf(await claim(store, { limit: 0 }))).toEqual([])
    expect(idsOf(await claim(store, { limit: 2 }))).toEqual(['a', 'b'])
  })

  test('by three processes at once takes every run once', async () => {
    const stores = await open(3)
    const ids = Array.from({ length: 30 }, (_, i) => `run-${String(i).padStart(2, '0')}`)
    await enqueue(
      stores[0],
      ids.map((id) => newRun(id)),
    )
    const claims = await Promise.all(
      stores.map(async (store, i) => {
        const taken: string[] = []
        const more = { workerId: `worker-${i}`, limit: 3 }
        for (let round = 0; round < 5; round++) taken.push(...idsOf(await claim(store, more)))
        return taken
      }),
    )
    expect(claims.flat().sort()).toEqual(ids)
    for (const id of ids) expect(await kindsOf(stores[0], id)).toEqual(['run:trigger', 'run:start'])
  })

  describe('a delay', () => {
    test('keeps the run until it is due and noticed', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { dueAt: LATER })])
      expect(await store.look([JOB], START)).toMatchObject({ ready: false, nextDueAt: LATER })
      expect(await store.promote(10, LATER - 1)).toEqual([])
      expect(await claim(store, {}, LATER - 1)).toEqual([])
      expect(await store.promote(10, LATER)).toEqual([])
      expect(await store.look([JOB], LATER)).toMatchObject({ ready: true, nextDueAt: null })
      expect(idsOf(await claim(store, {}, LATER))).toEqual(['a'])
    })

    test('ends for at most as many runs as asked for, the first due ones', async () => {
      const [store] = await open()
      const dueAt = [3, 1, 2].map((n) => START + n * SECOND)
      await enqueue(
        store,
        dueAt.map((due, i) => newRun(`run-${i}`, { dueAt: due })),
      )
      const now = START + 5 * SECOND
      await store.promote(2, now)
      expect(await store.look([JOB], now)).toMatchObject({ nextDueAt: START + 3 * SECOND })
      expect(idsOf(await claim(store, {}, now))).toEqual(['run-1', 'run-2'])
      await store.promote(2, now)
      expect(idsOf(await claim(store, {}, now))).toEqual(['run-0'])
    })

    test('that was cancelled and retried still holds, or is over', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { dueAt: LATER }), newRun('b', { dueAt: LATER })])
      await act(store, 'cancel', 'a')
      await act(store, 'cancel', 'b')
      expect(await store.look([JOB], START)).toMatchObject({ nextDueAt: null })
      await act(store, 'retry', 'a')
      expect(await store.look([JOB], START)).toMatchObject({ ready: false, nextDueAt: LATER })
      await act(store, 'retry', 'b', LATER)
      expect(idsOf(await claim(store, {}, LATER))).toEqual(['b'])
    })
  })

  describe('a time to start by', () => {
    test('cancels the run that did not', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { expireAt: LATER, concurrencyKey: 'key' })])
      expect(await store.look([JOB], START)).toMatchObject({ ready: true, nextDueAt: LATER })
      expect(await store.promote(10, LATER - 1)).toEqual([])
      const { run, entry } = only(await store.promote(10, LATER))
      expect(run).toEqual(await existing(store, 'a'))
      expect(run).toMatchObject({ status: 'cancelled', generation: 0, completedAt: LATER })
      expect(entry).toMatchObject({ seq: 2, kind: 'run:cancel', data: '{"reason":"ttl"}' })
      expect(await store.look([JOB], LATER)).toMatchObject({ ready: false, nextDueAt: null })
      expect(await store.promote(10, LATER)).toEqual([])
    })

    test('forbids the claim even before anyone noticed', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { expireAt: LATER }), newRun('b')])
      expect(await store.look([JOB], LATER)).toMatchObject({ nextDueAt: LATER })
      expect(idsOf(await claim(store, { limit: 1 }, LATER))).toEqual(['b'])
      expect(await store.look([JOB], LATER)).toMatchObject({ ready: false })
    })

    test('is over once the run started', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a', { expireAt: LATER })
      expect(claimed.run.expireAt).toBeNull()
      await commit(store, ending(claimed, 'release'))
      expect(await store.promote(10, LATER)).toEqual([])
      expect(idsOf(await claim(store, {}, LATER))).toEqual(['a'])
    })

    test('is over once the run is retried', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { expireAt: LATER })])
      await store.promote(10, LATER)
      await act(store, 'retry', 'a', LATER)
      expect(await store.promote(10, LATER)).toEqual([])
      expect(idsOf(await claim(store, {}, LATER))).toEqual(['a'])
    })

    test('cancels at most as many runs as asked for, the first to expire', async () => {
      const [store] = await open()
      await enqueue(store, [
        newRun('a', { expireAt: START + 2 }),
        newRun('b', { expireAt: START + 1 }),
        newRun('c', { expireAt: START + 3, dueAt: START + 3 }),
      ])
      expect(idsOf(await store.promote(2, LATER)).sort()).toEqual(['a', 'b'])
      expect(idsOf(await store.promote(2, LATER))).toEqual(['c'])
    })

    test('goes before the due time that comes with it', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { dueAt: LATER, expireAt: LATER })])
      expect(idsOf(await store.promote(10, LATER))).toEqual(['a'])
      expect((await existing(store, 'a')).status).toBe('cancelled')
    })
  })

  describe('a paused job', () => {
    test('keeps its runs until it is resumed, in every process', async () => {
      const [store, other = store] = await open(2)
      await enqueue(store, [newRun('a'), newRun('b', { jobName: 'other job' })])
      await store.setPaused(JOB, true, START)
      await store.setPaused(JOB, true, START)
      expect(await other.look([JOB], START)).toMatchObject({ ready: false })
      expect(await other.look([JOB, 'other job'], START)).toMatchObject({ ready: true })
      const jobs = [JOB, 'other job']
      const batch = { ...nothing, runs: [newRun('c')], claim: claimRequest({ jobs }) }
      const { claimed } = await other.write(batch, START)
      expect(idsOf(claimed)).toEqual(['b'])
      await store.setPaused(JOB, false, START)
      await store.setPaused(JOB, false, START)
      expect(idsOf(await claim(other))).toEqual(['a', 'c'])
    })

    test('goes on with what runs', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await store.setPaused(JOB, true, START)
      expect(await commit(store, ending(claimed, 'complete'))).toBe('committed')
    })
  })
})
