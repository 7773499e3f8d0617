import { describe, expect, test } from 'vitest'
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
  newRun,
  newSend,
  nothing,
  onEveryBackend,
  only,
  parking,
  parkRun,
  reclaim,
  SECOND,
  send,
  START,
  startRun,
  stateOf,
  stepDone,
  waitFor,
} from './scenario.ts'

const GO = [waitFor('signal', 'go')]
const LATER = START + SECOND
const DEAD = START + 2 * LEASE_MS

onEveryBackend((open) => {
  describe('a run that parks', () => {
    test('stands there with what it waits for, and nobody has it', async () => {
      const [store] = await open()
      const waits = [{ kind: 'sleep', name: 'nap', until: new Date(LATER).toISOString() } as const]
      const { run } = await parkRun(store, 'a', waits, { wakeAt: LATER })
      const parked = await existing(store, 'a')
      expect(parked).toEqual({ ...run, status: 'waiting', waitingFor: waits })
      expect(await store.leases('worker')).toEqual([])
      expect(await claim(store)).toEqual([])
      expect(await store.look([JOB], START)).toEqual({
        ready: false,
        nextDueAt: LATER,
        orphans: false,
      })
      expect(await reclaim(store, {}, DEAD)).toEqual({ claimed: [], others: [] })
    })

    test('is refused when its mailbox has what it has not seen, and nothing is written', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await send(store, newSend('a', 'go'))
      const before = await stateOf(store, 'a')
      const park = parking(claimed, { waits: GO })
      const entries = [stepDone(2), ...park.entries.map((entry) => ({ ...entry, seq: 4 }))]
      expect(await commit(store, { ...park, entries, executing: 'x', tokens: [] })).toBe('moved')
      expect(await stateOf(store, 'a')).toEqual(before)
      expect(await commit(store, parking(claimed, { waits: GO, inbox: 1 }))).toBe('committed')
    })

    test('is refused alone: the others of the batch are written', async () => {
      const [store] = await open()
      const a = await startRun(store, 'a')
      const b = await startRun(store, 'b')
      const c = await startRun(store, 'c')
      await send(store, newSend('b', 'go'))
      const commits = [parking(a), parking(b), ending(c, 'complete')]
      const written = await store.write({ ...nothing, commits }, START)
      expect(written.commits).toEqual(['committed', 'moved', 'committed'])
      expect(await kindsOf(store, 'b')).toEqual(['run:trigger', 'run:start'])
    })

    test('has parked when its answer was lost, whatever came since', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      const park = parking(claimed, { waits: GO })
      expect(await commit(store, park)).toBe('committed')
      expect(await commit(store, park)).toBe('committed')
      await send(store, newSend('a', 'go'))
      expect(await commit(store, park)).toBe('committed')
      expect(await kindsOf(store, 'a')).toEqual([
        'run:trigger',
        'run:start',
        'run:wait',
        'run:wake',
      ])
    })

    test('keeps its key, and gives it back when it ends', async () => {
      const [store] = await open()
      const key = { concurrencyKey: 'key' }
      await parkRun(store, 'a', GO, key)
      await enqueue(store, [newRun('b', key)])
      expect(await claim(store)).toEqual([])
      await send(store, newSend('a', 'go'))
      const again = only(await claim(store))
      expect(again.run).toMatchObject({ id: 'a', generation: 2, attempt: 1 })
      expect(await commit(store, ending(again, 'complete'))).toBe('committed')
      expect(idsOf(await claim(store))).toEqual(['b'])
    })

    test('gives its key back when it is cancelled', async () => {
      const [store] = await open()
      const key = { concurrencyKey: 'key' }
      await parkRun(store, 'a', GO, { ...key, wakeAt: LATER })
      await enqueue(store, [newRun('b', key)])
      await act(store, 'cancel', 'a')
      expect(await existing(store, 'a')).toMatchObject({ status: 'cancelled', waitingFor: null })
      expect(await store.look([JOB], START)).toMatchObject({ ready: true, nextDueAt: null })
      expect(idsOf(await claim(store))).toEqual(['b'])
    })

    test('has made its way: earlier crashes count no more', async () => {
      const [store] = await open()
      await startRun(store, 'a')
      const one = only((await reclaim(store, {}, DEAD)).claimed)
      expect(one.run.crashes).toBe(1)
      const noted = { ...parking(one, { wakeAt: DEAD }), executing: 'step' }
      expect(await commit(store, noted, DEAD)).toBe('committed')
      expect(await existing(store, 'a')).toMatchObject({ crashes: 0, executing: null })
    })

    test('that failed an attempt before it crashed has made its way', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      const failed = { ...stepDone(2), kind: 'step:retry' as const }
      await commit(store, commitOf(claimed, [failed]))
      const { claimed: taken } = await reclaim(store, { maxCrashes: 2 }, DEAD)
      expect(only(taken).run.crashes).toBe(1)
    })
  })

  describe('a waiting run is woken', () => {
    test('when its time comes, and not before', async () => {
      const [store] = await open()
      await parkRun(store, 'a', [waitFor('sleep', 'nap')], { wakeAt: LATER })
      expect(await store.promote(10, LATER - 1)).toEqual([])
      const { run, entry } = only(await store.promote(10, LATER))
      expect(entry).toMatchObject({ seq: 4, kind: 'run:wake', data: '{"reason":"due"}', at: LATER })
      expect(run).toEqual(await existing(store, 'a'))
      expect(run).toMatchObject({ status: 'pending', waitingFor: null, generation: 1 })
      expect(await store.promote(10, LATER)).toEqual([])
      expect(await store.look([JOB], LATER)).toMatchObject({ ready: true, nextDueAt: null })
      expect(only(await claim(store, {}, LATER)).run.generation).toBe(2)
    })

    test('the one that is due first comes first, with delayed runs among them', async () => {
      const [store] = await open()
      const nap = [waitFor('sleep', 'nap')]
      await parkRun(store, 'b', nap, { wakeAt: START + 1 })
      await parkRun(store, 'a', nap, { wakeAt: START + 3 })
      await enqueue(store, [newRun('c', { dueAt: START + 2 })])
      expect(idsOf(await store.promote(2, LATER))).toEqual(['b'])
      expect(idsOf(await claim(store, {}, LATER))).toEqual(['b', 'c'])
      expect(idsOf(await store.promote(2, LATER))).toEqual(['a'])
    })

    test('when its code asks for the lease again', async () => {
      const [store] = await open()
      const { run } = await parkRun(store, 'a', GO, { wakeAt: LATER })
      const acted = await store.act({ transition: 'wake', runId: 'a', generation: 1 }, LATER)
      const woken = { status: 'pending', waitingFor: null, generation: run.generation }
      expect(acted).toMatchObject({ done: true, run: woken, woken: [] })
      expect(acted).toMatchObject({ entry: { kind: 'run:wake', data: '{"reason":"asked"}' } })
      expect(await store.promote(10, LATER)).toEqual([])
    })

    test('and claimed by the very batch that sent what it waits for', async () => {
      const [store] = await open()
      await parkRun(store, 'a', GO)
      const sends = [newSend('a', 'go')]
      const request = { workerId: 'w', leaseMs: LEASE_MS, jobs: [JOB], limit: 1 }
      const written = await store.write({ ...nothing, sends, claim: request }, START)
      expect(written.sends).toMatchObject([{ done: true, entry: { seq: 4, kind: 'run:wake' } }])
      expect(written.claimed).toMatchObject([{ run: { id: 'a', inbox: 1 }, entry: { seq: 5 } }])
      expect(await store.leases('w')).toEqual([{ runId: 'a', generation: 2, inbox: 1 }])
    })
  })

  test('a cancelled run that had parked starts anew when it is retried', async () => {
    const [store] = await open()
    await parkRun(store, 'a', GO, { wakeAt: LATER })
    await act(store, 'cancel', 'a')
    await act(store, 'retry', 'a')
    expect(await store.promote(10, LATER)).toEqual([])
    expect(idsOf(await claim(store))).toEqual(['a'])
  })
})
