import { describe, expect, test } from 'vitest'
import type { ClaimRequest, NewRun, Store, Written } from '../../../src/store/store.ts'
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
  newRun,
  newSend,
  nothing,
  only,
  onEveryBackend,
  parkRun,
  reclaim,
  SECOND,
  START,
  startRun,
  stateOf,
  waitFor,
} from './scenario.ts'

const LATER = START + SECOND
const AFTER_LEASE = START + LEASE_MS + SECOND

function make(
  store: Store,
  runs: readonly NewRun[],
  more: Partial<ClaimRequest> = {},
  now = START,
): Promise<Written> {
  return store.write({ ...nothing, runs, claim: claimRequest(more) }, now)
}

onEveryBackend((open) => {
  test('a run that is claimed as it is made is as one that is claimed later', async () => {
    const more = { labels: { tenant: 'a' }, priority: 3, expireAt: LATER, idempotencyKey: 'once' }
    const [store] = await open()
    const [later] = await enqueue(store, [newRun('a', more)])
    const claimedLater = only(await claim(store))
    const afterwards = await stateOf(store, 'a')
    await commit(store, ending(claimedLater, 'complete'))
    await act(store, 'delete', 'a')

    const { runs, claimed } = await make(store, [newRun('a', more)])
    expect(runs).toEqual([later])
    expect(claimed).toEqual([claimedLater])
    expect(await stateOf(store, 'a')).toEqual(afterwards)
    expect(only(await store.runs({ labels: { tenant: 'a' } })).id).toBe('a')
  })

  test('it is its worker’s: who claims next finds nothing, and its end is taken', async () => {
    const [store, other = store] = await open(2)
    const claimed = only((await make(store, [newRun('a')])).claimed)
    expect(await other.look([JOB], START)).toMatchObject({ ready: false, orphans: false })
    expect(await claim(other, { workerId: 'other' })).toEqual([])
    expect(await store.leases('worker')).toEqual([{ runId: 'a', generation: 1, inbox: 0 }])
    expect(await commit(store, ending(claimed, 'complete'))).toBe('committed')
  })

  test.each([
    ['is not known yet', async () => {}],
    ['ended long ago', (store: Store) => store.renew({ workerId: 'worker', leaseMs: 0 }, START)],
    ['is known with other jobs', (store: Store) => claim(store, { jobs: ['other job'] })],
    ['is fresh', (store: Store) => startRun(store, 'before')],
  ])('it has a lease, also when that of its worker %s', async (_, prepare) => {
    const [store] = await open()
    await prepare(store)
    const { claimed } = await make(store, [newRun('a')])
    expect(idsOf(claimed)).toEqual(['a'])
    expect((await reclaim(store, {}, LATER)).claimed).toEqual([])
    expect(idsOf((await reclaim(store, {}, AFTER_LEASE)).claimed)).toContain('a')
  })

  test('those of one write are claimed in the order of claims', async () => {
    const [store] = await open()
    const runs = [newRun('a'), newRun('b', { priority: 5 }), newRun('c', { priority: 1 })]
    const { claimed } = await make(store, runs)
    expect(idsOf(claimed)).toEqual(['b', 'c', 'a'])
  })

  test('more than there is room for wait for it', async () => {
    const [store] = await open()
    const runs = [newRun('a'), newRun('b', { priority: 5 }), newRun('c', { priority: 1 })]
    expect(idsOf((await make(store, runs, { limit: 2 })).claimed)).toEqual(['b', 'c'])
    expect(idsOf(await claim(store))).toEqual(['a'])
  })

  test.each([
    ['before it', 0, ['before', 'a']],
    ['of a higher priority', 1, ['before', 'a']],
    ['of a lower priority', -1, ['a', 'before']],
  ])('what is claimable %s has its turn', async (_, priority, order) => {
    const [store] = await open()
    await enqueue(store, [newRun('before', { priority })])
    const later = [newRun('a')]
    expect(idsOf((await make(store, later, { limit: 1 }, LATER)).claimed)).toEqual([order[0]])
    expect(idsOf(await claim(store, {}, LATER))).toEqual([order[1]])
  })

  describe('it waits like any other', () => {
    test.each<[string, Partial<NewRun>, Partial<ClaimRequest>]>([
      ['of a job that the worker does not know', { jobName: 'other job' }, {}],
      ['that is delayed', { dueAt: LATER }, {}],
      ['that comes too late', { expireAt: START }, {}],
      ['whose key is held', { concurrencyKey: 'key' }, {}],
      ['where there is no room', {}, { limit: 0 }],
    ])('a run %s', async (_, more, request) => {
      const [store] = await open()
      await startRun(store, 'holder', { concurrencyKey: 'key' })
      const { runs, claimed } = await make(store, [newRun('a', more)], request)
      expect(claimed).toEqual([])
      expect(only(runs)).toMatchObject({ disposition: 'created' })
      expect(await existing(store, 'a')).toMatchObject({ status: 'pending', generation: 0 })
    })

    test('a run of a paused job, beside one that has room', async () => {
      const [store] = await open()
      await store.setPaused('other job', true, START)
      const runs = [newRun('a', { jobName: 'other job' }), newRun('b')]
      const { claimed } = await make(store, runs, { jobs: [JOB, 'other job'] })
      expect(idsOf(claimed)).toEqual(['b'])
      expect(await existing(store, 'a')).toMatchObject({ status: 'pending' })
    })

    test('a run beside one that a message of the same write wakes', async () => {
      const [store] = await open()
      await parkRun(store, 'parked', [waitFor('signal', 'hello')])
      const sends = [newSend('parked', 'hello')]
      const claimOne = claimRequest({ limit: 1 })
      const batch = { ...nothing, runs: [newRun('a')], sends, claim: claimOne }
      expect(idsOf((await store.write(batch, LATER)).claimed)).toEqual(['parked'])
    })

    test('a run beside one whose key the same write frees', async () => {
      const [store] = await open()
      const held = await startRun(store, 'holder', { concurrencyKey: 'key' })
      await enqueue(store, [newRun('next', { concurrencyKey: 'key' })])
      const commits = [ending(held, 'complete')]
      const batch = { commits, runs: [newRun('a')], sends: [], claim: claimRequest({ limit: 1 }) }
      expect(idsOf((await store.write(batch, LATER)).claimed)).toEqual(['next'])
    })
  })

  test('a run that exists is not claimed once more, and others are', async () => {
    const [store] = await open()
    const held = await startRun(store, 'a', { idempotencyKey: 'once' })
    const runs = [newRun('b', { idempotencyKey: 'once' }), newRun('c')]
    const written = await make(store, runs)
    expect(written.runs.map(({ disposition }) => disposition)).toEqual(['idempotent', 'created'])
    expect(written.runs.map(({ run }) => run.status)).toEqual(['running', 'pending'])
    expect(idsOf(written.claimed)).toEqual(['c'])
    expect(await existing(store, 'a')).toEqual(held.run)
  })

  test('two of one key are one run, claimed once', async () => {
    const [store] = await open()
    const runs = [newRun('a', { idempotencyKey: 'once' }), newRun('b', { idempotencyKey: 'once' })]
    const written = await make(store, runs)
    expect(written.runs.map(({ disposition }) => disposition)).toEqual(['created', 'idempotent'])
    expect(written.runs.map(({ run }) => run.status)).toEqual(['pending', 'pending'])
    expect(idsOf(written.claimed)).toEqual(['a'])
  })

  test('sent again, its claim is not made twice', async () => {
    const [store] = await open()
    await make(store, [newRun('a')])
    const before = await stateOf(store, 'a')
    const { runs, claimed } = await make(store, [newRun('a', { isSentAgain: true })])
    expect(only(runs)).toMatchObject({ disposition: 'created', run: { status: 'running' } })
    expect(claimed).toEqual([])
    expect(await stateOf(store, 'a')).toEqual(before)
  })

  test('the end of a run makes room for it in the same write', async () => {
    const [store] = await open()
    const held = await startRun(store, 'a')
    const commits = [ending(held, 'complete')]
    const batch = { commits, runs: [newRun('b')], sends: [], claim: claimRequest({ limit: 1 }) }
    const written = await store.write(batch, LATER)
    expect(written.commits).toEqual(['committed'])
    expect(idsOf(written.claimed)).toEqual(['b'])
  })
})
