import { describe, expect, test } from 'vitest'
import { AHEAD_MS } from '../../../src/core/lease.ts'
import type { Reclaimed, Store } from '../../../src/store/store.ts'
import {
  act,
  claim,
  commit,
  commitOf,
  ending,
  enqueue,
  existing,
  idsOf,
  JOB,
  kindsOf,
  LEASE_MS,
  heldOf,
  newRun,
  only,
  onEveryBackend,
  reclaim,
  SECOND,
  START,
  startRun,
  stateOf,
  stepDone,
} from './scenario.ts'

const DEAD = START + 2 * LEASE_MS
const HOUR = 3_600_000

onEveryBackend((open) => {
  test('a run of a dead worker goes on in another', async () => {
    const [store] = await open()
    const before = await startRun(store, 'a')
    const { claimed, others } = await reclaim(store, {}, DEAD)
    expect(others).toEqual([])
    const { run, entry } = only(claimed)
    const changed = { generation: 2, attempt: 2, crashes: 1, updatedAt: DEAD }
    expect(run).toEqual({ ...before.run, ...changed })
    expect(run).toEqual(await existing(store, 'a'))
    const start = { seq: 3, generation: 2, kind: 'run:start', data: '{"attempt":2}', at: DEAD }
    expect(entry).toMatchObject({ runId: 'a', name: null, ...start })
    expect(await store.leases('rescuer')).toEqual([heldOf(run)])
    expect(await store.leases('worker')).toEqual([])
    expect(await store.look([JOB], DEAD)).toMatchObject({ orphans: false })
    expect(await commit(store, commitOf(before, [stepDone(3)]), DEAD)).toBe('lost')
  })

  test('a lease from before the clock was set back begins anew, once', async () => {
    const [store] = await open()
    await startRun(store, 'a', {}, START + HOUR)
    await enqueue(store, [newRun('b')])
    await claim(store, { workerId: 'alive', limit: 1 }, START + HOUR)
    const behind = START + HOUR - AHEAD_MS / 2
    expect(await store.look([JOB], behind)).toMatchObject({ orphans: false })
    expect(await store.look([JOB], START)).toMatchObject({ orphans: true })
    expect(await reclaim(store, {}, START)).toEqual({ claimed: [], others: [] })
    expect(await store.look([JOB], START)).toMatchObject({ orphans: false })
    const half = START + LEASE_MS / 2
    await store.renew({ workerId: 'alive', leaseMs: LEASE_MS }, half)
    expect(await reclaim(store, {}, half)).toEqual({ claimed: [], others: [] })
    expect(idsOf((await reclaim(store, {}, START + LEASE_MS + SECOND)).claimed)).toEqual(['a'])
  })

  test('a dead worker costs nothing that is not its own', async () => {
    const [store] = await open()
    await startRun(store, 'a')
    await enqueue(store, [newRun('b'), newRun('c'), newRun('d')])
    await claim(store, { workerId: 'alive', limit: 1 }, DEAD)
    await act(store, 'cancel', 'c')
    expect(idsOf((await reclaim(store, {}, DEAD)).claimed)).toEqual(['a'])
    expect(await reclaim(store, { workerId: 'third' }, DEAD)).toEqual({ claimed: [], others: [] })
  })

  test('dead workers that had nothing to do are not in the way', async () => {
    const [store] = await open()
    for (let i = 10; i < 40; i++)
      await store.renew({ workerId: `idle ${i}`, leaseMs: LEASE_MS }, START)
    await startRun(store, 'a')
    expect(idsOf((await reclaim(store, {}, DEAD)).claimed)).toEqual(['a'])
  })

  test('of workers that are said to be dead all are, but for those that live', async () => {
    const [store] = await open()
    for (const [id, workerId] of [
      ['a', 'name 1'],
      ['b', 'name 2'],
      ['c', 'another'],
    ] as const) {
      await enqueue(store, [newRun(id)])
      await claim(store, { workerId, limit: 1 })
    }
    await store.renew({ workerId: 'name 3', leaseMs: LEASE_MS }, START)
    await store.retire('name', ['name 2', 'name 4'])
    const { claimed } = await reclaim(store, { limit: 10 }, START)
    expect(idsOf(claimed)).toEqual(['a'])
    expect(await store.leases('name 2')).toHaveLength(1)
  })

  test('a worker that comes late does not take its own runs from itself', async () => {
    const [store] = await open()
    await startRun(store, 'a')
    const answer = await reclaim(store, { workerId: 'worker' }, DEAD)
    expect(answer).toEqual({ claimed: [], others: [] })
    expect(await store.leases('worker')).toHaveLength(1)
  })

  test('at most as many are taken over as asked for, the rest by the next', async () => {
    const stores = await open(3)
    const ids = Array.from({ length: 12 }, (_, i) => `run-${String(i).padStart(2, '0')}`)
    await enqueue(
      stores[0],
      ids.map((id) => newRun(id)),
    )
    await claim(stores[0])
    const taken = await Promise.all(
      stores.map((store, i) => reclaim(store, { workerId: `rescuer-${i}`, limit: 3 }, DEAD)),
    )
    for (const { claimed } of taken) expect(claimed.length).toBeLessThanOrEqual(3)
    const rest = await reclaim(stores[0], { workerId: 'last' }, DEAD)
    const all = [...taken, rest].flatMap(({ claimed }) => idsOf(claimed))
    expect(all.sort()).toEqual(ids)
    expect(await stores[0].look([JOB], DEAD)).toMatchObject({ orphans: false })
  })

  test.each(['unknown', 'paused'])('a run whose job is %s is handed on', async (why) => {
    const [store] = await open()
    const before = await startRun(store, 'a')
    if (why === 'paused') await store.setPaused(JOB, true, START)
    const jobs = why === 'paused' ? [JOB] : []
    const { claimed, others } = await reclaim(store, { jobs, limit: 0 }, DEAD)
    expect(claimed).toEqual([])
    const { run, entry } = only(others)
    const changed = { status: 'pending', attempt: 2, crashes: 1, updatedAt: DEAD }
    expect(run).toEqual({ ...before.run, ...changed })
    expect(run).toEqual(await existing(store, 'a'))
    const release = { seq: 3, generation: 1, kind: 'run:release', data: '{"reason":"recover"}' }
    expect(entry).toMatchObject({ runId: 'a', name: null, at: DEAD, ...release })
    await store.setPaused(JOB, false, DEAD)
    const next = only(await claim(store, {}, DEAD))
    expect(next.run).toMatchObject({ generation: 2, attempt: 2, crashes: 1 })
    expect(next.entry).toMatchObject({ data: '{"attempt":2}' })
  })

  test('what the store wrote in the place of a late commit is not taken for it', async () => {
    const [store] = await open()
    await enqueue(store, [newRun('a'), newRun('b')])
    const [a, b] = await claim(store)
    if (!a || !b) throw new Error('Two runs were to be claimed')
    await act(store, 'cancel', 'b')
    await reclaim(store, { maxCrashes: 1 }, DEAD)
    const before = await stateOf(store, 'a')
    expect(await commit(store, commitOf(a, [stepDone(2)]), DEAD)).toBe('lost')
    expect(await commit(store, ending(a, 'fail'), DEAD)).toBe('lost')
    expect(await stateOf(store, 'a')).toEqual(before)

    const c = await startRun(store, 'c', {}, DEAD)
    await reclaim(store, { jobs: [] }, DEAD + 2 * LEASE_MS)
    expect(await commit(store, commitOf(c, [stepDone(2)]), DEAD)).toBe('lost')
    expect(await kindsOf(store, 'c')).toEqual(['run:trigger', 'run:start', 'run:release'])
  })

  describe('a run that was the death of too many workers fails', () => {
    /** Each rescuer dies in its turn. */
    const die = async (store: Store, times: number, maxCrashes: number): Promise<Reclaimed> => {
      let answer: Reclaimed = { claimed: [], others: [] }
      for (let n = 1; n <= times; n++) {
        const rescuer = { workerId: `rescuer-${n}`, maxCrashes }
        answer = await reclaim(store, rescuer, START + n * 2 * LEASE_MS)
      }
      return answer
    }

    test('saying how many', async () => {
      const [store] = await open()
      await startRun(store, 'a')
      expect((await die(store, 2, 3)).others).toEqual([])
      const now = START + 6 * LEASE_MS
      const { claimed, others } = await reclaim(store, { maxCrashes: 3 }, now)
      expect(claimed).toEqual([])
      const { run, entry } = only(others)
      const error = { name: 'Error', message: 'Run crashed 3 times in a row' }
      const failed = { status: 'failed', error, crashes: 3, completedAt: now, attempt: 3 }
      expect(run).toMatchObject(failed)
      expect(run.error).toEqual(error)
      expect(run).toEqual(await existing(store, 'a'))
      expect(entry).toMatchObject({ kind: 'run:fail', generation: 3, seq: 5 })
      expect(JSON.parse(entry.data)).toEqual({ duration: now - START, error })
      expect(await store.look([JOB], now)).toMatchObject({ ready: false, orphans: false })
    })

    test('naming the step it was in', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await commit(store, { ...commitOf(claimed, []), executing: 'load "all"' })
      const { run } = only((await die(store, 1, 1)).others)
      expect(run.executing).toBeNull()
      expect(run.error).toEqual({
        name: 'Error',
        message: 'Run crashed 1 times in a row, last in step "load "all""',
        step: 'load "all"',
      })
    })

    test('whether its job is known or not', async () => {
      const [store] = await open()
      await startRun(store, 'a')
      const { others } = await reclaim(store, { jobs: [], maxCrashes: 1 }, DEAD)
      expect(only(others).run.status).toBe('failed')
    })

    test.each(['step:complete', 'step:fail'] as const)(
      'unless a %s broke the row',
      async (kind) => {
        const [store] = await open()
        await startRun(store, 'a')
        const claimed = only((await die(store, 2, 9)).claimed)
        expect(claimed.run.crashes).toBe(2)
        const log = { ...stepDone(4), kind: 'log:write' } as const
        const step = { ...stepDone(5), kind }
        const now = START + 4 * LEASE_MS
        await commit(store, commitOf(claimed, [log, step]), now)
        const { run } = only((await reclaim(store, {}, now + 2 * LEASE_MS)).claimed)
        expect(run.crashes).toBe(1)
      },
    )

    test('though it logged, or was handed back, in between', async () => {
      const [store] = await open()
      await startRun(store, 'a')
      const claimed = only((await die(store, 1, 9)).claimed)
      const log = { ...stepDone(3), kind: 'log:write' } as const
      await commit(store, commitOf(claimed, [log]), DEAD)
      await commit(store, ending(claimed, 'release', 4), DEAD)
      await claim(store, {}, DEAD)
      const { run } = only((await reclaim(store, {}, DEAD + 2 * LEASE_MS)).claimed)
      expect(run.crashes).toBe(2)
    })

    test('until it is retried', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await commit(store, { ...commitOf(claimed, []), progress: { current: 1 } })
      await die(store, 2, 2)
      const now = START + 6 * LEASE_MS
      await act(store, 'retry', 'a', now)
      expect(await existing(store, 'a')).toMatchObject({
        status: 'pending',
        crashes: 0,
        error: null,
        completedAt: null,
        attempt: 3,
        progress: { current: 1 },
      })
      expect(await kindsOf(store, 'a')).toEqual([
        'run:trigger',
        'run:start',
        'run:start',
        'run:fail',
        'run:retry',
      ])
    })
  })
})
