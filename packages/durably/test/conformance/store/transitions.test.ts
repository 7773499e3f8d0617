import { describe, expect, test } from 'vitest'
import {
  isLegal,
  runStatuses,
  type RunStatus,
  type TransitionName,
  transitions,
  raisesGeneration,
} from '../../../src/core/transitions.ts'
import type { Claim, Store } from '../../../src/store/store.ts'
import {
  act,
  claim,
  commit,
  commitOf,
  ending,
  enqueue,
  existing,
  LEASE_MS,
  newRun,
  only,
  onEveryBackend,
  parking,
  parkRun,
  reclaim,
  SECOND,
  START,
  startRun,
  stateOf,
  stepDone,
  waitFor,
} from './scenario.ts'

const ID = 'run'
const EXPIRE_AT = START + 10 * LEASE_MS
const NOW = START + SECOND
const AFTER_LEASE = START + 2 * LEASE_MS

/** Brings a run to a status; says what the last one to have it knew, as if a pending one were had. */
const reach: Record<RunStatus, (store: Store) => Promise<Claim>> = {
  pending: async (store) => {
    await enqueue(store, [newRun(ID, { expireAt: EXPIRE_AT })])
    const page = await store.journal(ID, 0, 1)
    if (page === null) throw new Error('The run is not there')
    return { run: page.run, entry: only(page.entries) }
  },
  running: (store) => startRun(store, ID),
  waiting: (store) => parkRun(store, ID, [waitFor('signal', 'go')]),
  completed: async (store) => {
    const claimed = await startRun(store, ID)
    await commit(store, ending(claimed, 'complete'))
    return claimed
  },
  failed: async (store) => {
    const claimed = await startRun(store, ID)
    await commit(store, ending(claimed, 'fail'))
    return claimed
  },
  cancelled: async (store) => {
    const claimed = await startRun(store, ID)
    await act(store, 'cancel', ID)
    return claimed
  },
}

/** Asks for a transition as whoever may make it would; `last` had the run, `lastSeq` is its last entry. */
const attempt: Record<
  TransitionName,
  (store: Store, last: Claim, lastSeq: number) => Promise<unknown>
> = {
  trigger: (store) => enqueue(store, [newRun(ID)], NOW),
  claim: (store) => claim(store, { workerId: 'other' }, NOW),
  reclaim: (store) => reclaim(store, {}, AFTER_LEASE),
  recover: (store) => reclaim(store, { jobs: [] }, AFTER_LEASE),
  park: (store, last, lastSeq) => commit(store, parking(last, {}, lastSeq, NOW), NOW),
  wake: (store, { run: { generation } }) =>
    store.act({ transition: 'wake', runId: ID, generation }, NOW),
  complete: (store, last, lastSeq) => commit(store, ending(last, 'complete', lastSeq), NOW),
  fail: (store, last, lastSeq) => commit(store, ending(last, 'fail', lastSeq), NOW),
  release: (store, last, lastSeq) => commit(store, ending(last, 'release', lastSeq), NOW),
  cancel: (store) => act(store, 'cancel', ID, NOW),
  retry: (store) => act(store, 'retry', ID, NOW),
  expire: (store) => store.promote(100, EXPIRE_AT),
  delete: (store) => act(store, 'delete', ID, NOW),
}

const names = Object.keys(attempt) as TransitionName[]
const byHolder = ['park', 'complete', 'fail', 'release'] as const

onEveryBackend((open) => {
  test.each(names)(
    '%s is possible where the table says so, and changes what it says',
    async (name) => {
      const [store] = await open()
      for (const status of runStatuses) {
        const last = await reach[status](store)
        if (isLegal(name, status)) await expectChange(store, name, last, status)
        else await expectRefusal(store, name, last, status)
        await remove(store)
      }
    },
  )

  test.each(['cancel', 'retry', 'delete'] as const)(
    '%s says which status forbade it',
    async (name) => {
      const [store] = await open()
      expect(await act(store, name, ID, NOW)).toEqual({ done: false, status: null })
      for (const status of runStatuses.filter((from) => !isLegal(name, from))) {
        await reach[status](store)
        expect(await act(store, name, ID, NOW)).toEqual({ done: false, status })
        await remove(store)
      }
    },
  )

  describe('the fence', () => {
    test.each(byHolder)('refuses to %s with another generation', async (name) => {
      const [store] = await open()
      const claimed = await startRun(store, ID)
      const before = await stateOf(store, ID)
      for (const off of [-1, 1]) {
        const answer = await attempt[name](store, offBy(claimed, off), claimed.entry.seq)
        expect(answer).toBe('lost')
        expect(await stateOf(store, ID)).toEqual(before)
      }
    })

    test('refuses entries and progress with another generation', async () => {
      const [store] = await open()
      const claimed = await startRun(store, ID)
      const before = await stateOf(store, ID)
      for (const off of [-1, 1]) {
        const stale = offBy(claimed, off)
        const request = commitOf(stale, [stepDone(claimed.entry.seq)])
        expect(await commit(store, request, NOW)).toBe('lost')
        const bare = { ...commitOf(stale, []), progress: { current: 1 }, executing: 'x' }
        expect(await commit(store, bare, NOW)).toBe('lost')
        expect(await stateOf(store, ID)).toEqual(before)
      }
    })

    test('refuses the last holder of a run that does not run', async () => {
      const [store] = await open()
      for (const status of runStatuses.filter((from) => !isLegal('release', from))) {
        const last = await reach[status](store)
        const before = await stateOf(store, ID)
        const request = commitOf(last, [stepDone(await lengthOf(store))])
        const answer = status === 'cancelled' ? 'cancelled' : 'lost'
        expect(await commit(store, request, NOW), status).toBe(answer)
        expect(await stateOf(store, ID), status).toEqual(before)
        await remove(store)
      }
    })

    test('refuses a wake by act with another generation', async () => {
      const [store] = await open()
      const { run } = await parkRun(store, ID, [])
      const before = await stateOf(store, ID)
      for (const generation of [run.generation - 1, run.generation + 1]) {
        const answer = await store.act({ transition: 'wake', runId: ID, generation }, NOW)
        expect(answer).toEqual({ done: false, status: 'waiting' })
      }
      expect(await stateOf(store, ID)).toEqual(before)
    })

    test('refuses a hand-back by act with another generation', async () => {
      const [store] = await open()
      const { run } = await startRun(store, ID)
      const before = await stateOf(store, ID)
      for (const generation of [run.generation - 1, run.generation + 1]) {
        const answer = await store.act({ transition: 'release', runId: ID, generation }, NOW)
        expect(answer).toEqual({ done: false, status: 'running' })
      }
      expect(await stateOf(store, ID)).toEqual(before)
    })
  })
})

async function expectChange(
  store: Store,
  name: TransitionName,
  last: Claim,
  status: RunStatus,
): Promise<void> {
  const before = await existing(store, ID)
  const lastSeq = await lengthOf(store)
  await attempt[name](store, last, lastSeq)

  const { to, event } = transitions[name]
  const page = await store.journal(ID, 0, 100)
  if (to === null) return expect(page, status).toBeNull()
  const generation = before.generation + Number(raisesGeneration(name))
  expect(page?.run, status).toMatchObject({ status: to, generation })
  expect(page?.entries, status).toHaveLength(lastSeq + 1)
  const entry = { seq: lastSeq + 1, kind: event, generation }
  expect(page?.entries.at(-1), status).toMatchObject(entry)
}

async function expectRefusal(
  store: Store,
  name: TransitionName,
  last: Claim,
  status: RunStatus,
): Promise<void> {
  const before = await stateOf(store, ID)
  await attempt[name](store, last, await lengthOf(store))
  expect(await stateOf(store, ID), status).toEqual(before)
}

function offBy({ run, entry }: Claim, generations: number): Claim {
  return { run: { ...run, generation: run.generation + generations }, entry }
}

/** Whatever its status. */
async function remove(store: Store): Promise<void> {
  await act(store, 'cancel', ID)
  await act(store, 'delete', ID)
}

async function lengthOf(store: Store): Promise<number> {
  const page = await store.journal(ID, 0, 100)
  return page?.entries.length ?? 0
}
