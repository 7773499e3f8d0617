import { describe, expect, test } from 'vitest'
import type { Encoded } from '../../../src/core/codec.ts'
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
  nothing,
  only,
  onEveryBackend,
  reclaim,
  SECOND,
  START,
  startRun,
  stateOf,
  stepDone,
} from './scenario.ts'

const LATER = START + SECOND
const DEAD = START + 2 * LEASE_MS
const worker = { workerId: 'worker', leaseMs: LEASE_MS }

onEveryBackend((open) => {
  describe('a commit', () => {
    test('writes entries, progress and the step that executes', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      const step = stepDone(2, 'load', LATER)
      const log = { seq: 4, kind: 'log:write', name: null, at: LATER + 1, data: '{}' } as const
      const progress = { current: 1, total: 3, message: 'one' }
      const request = { ...commitOf(claimed, [step, log]), progress, executing: 'save' }
      expect(await commit(store, request, LATER)).toBe('committed')

      const page = await store.journal('a', 2, 10)
      const stamp = { runId: 'a', generation: 1 }
      expect(page?.entries).toEqual([
        { ...step, ...stamp },
        { ...log, ...stamp },
      ])
      const changed = { progress, executing: 'save', status: 'running', updatedAt: LATER + 1 }
      expect(page?.run).toEqual({ ...claimed.run, ...changed })
      expect(await existing(store, 'a')).toEqual(page?.run)
    })

    test('without entries keeps what it does not speak of', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      const bare = commitOf(claimed, [])
      await commit(store, { ...bare, progress: { current: 1 }, executing: 'load' })
      await commit(store, { ...bare, progress: { current: 2 } }, LATER)
      const run = await existing(store, 'a')
      expect(run).toMatchObject({ progress: { current: 2 }, executing: 'load', updatedAt: LATER })
      expect(await kindsOf(store, 'a')).toHaveLength(2)
    })

    test('ends the run with its output, when its entry says', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await commit(store, { ...commitOf(claimed, []), executing: 'load' })
      const output: Encoded = { format: 'rich', text: '[-3]' }
      const request = ending(claimed, 'complete', 2, LATER)
      await commit(store, { ...request, transition: { name: 'complete', output } }, LATER + SECOND)
      const ended = {
        status: 'completed',
        output,
        executing: null,
        completedAt: LATER,
        error: null,
      }
      expect(await existing(store, 'a')).toMatchObject({
        ...ended,
        generation: 1,
        startedAt: START,
      })
      expect(await store.leases('worker')).toEqual([])
    })

    test('ends the run with its error, when its entry says', async () => {
      const [store] = await open()
      const cause = { name: 'TypeError', message: 'deep \0', stack: 'at x', code: 'E1' }
      const error = { name: 'Error', message: 'no', step: 'load', code: 7, cause }
      const request = ending(await startRun(store, 'a'), 'fail', 2, LATER)
      await commit(store, { ...request, transition: { name: 'fail', error } }, LATER + SECOND)
      const ended = { status: 'failed', error, completedAt: LATER, output: null }
      expect(await existing(store, 'a')).toMatchObject(ended)
    })

    test('hands the run back under the same generation', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await commit(store, ending(claimed, 'release', 2, LATER), LATER)
      const run = await existing(store, 'a')
      expect(run).toEqual({ ...claimed.run, status: 'pending', updatedAt: LATER })
      expect(await store.leases('worker')).toEqual([])
      expect(await store.look([JOB], LATER)).toMatchObject({ ready: true, nextDueAt: null })
    })

    test('is found when it is sent again, whatever came after it', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      const step = commitOf(claimed, [stepDone(2), stepDone(3, 'other step')])
      const end = ending(claimed, 'release', 4)
      for (const request of [step, step, end, end, step]) {
        expect(await commit(store, request)).toBe('committed')
      }
      await claim(store, { workerId: 'other' })
      const before = await stateOf(store, 'a')
      for (const request of [step, end]) {
        expect(await commit(store, request, LATER)).toBe('committed')
      }
      expect(await stateOf(store, 'a')).toEqual(before)
    })

    test.each(['complete', 'fail'] as const)(
      'that ended the run is found again: %s',
      async (how) => {
        const [store] = await open()
        const request = ending(await startRun(store, 'a'), how)
        await commit(store, request)
        const before = await stateOf(store, 'a')
        expect(await commit(store, request, LATER)).toBe('committed')
        expect(await stateOf(store, 'a')).toEqual(before)
      },
    )

    test('of many in a batch fails alone', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a'), newRun('b'), newRun('c'), newRun('d')])
      const [a, b, c, d] = await claim(store)
      if (!a || !b || !c || !d) throw new Error('Four runs were to be claimed')
      await act(store, 'cancel', 'b')
      await commit(store, ending(c, 'release'))
      await claim(store, { workerId: 'other' })
      await act(store, 'cancel', 'd')
      await act(store, 'delete', 'd')
      const commits = [a, b, c, d].map((claimed) => commitOf(claimed, [stepDone(3)]))
      const step = { ...commitOf(a, [stepDone(2)]) }
      const batch = { ...nothing, commits: [step, ...commits.slice(1), ending(a, 'complete', 3)] }
      const answers = ['committed', 'cancelled', 'lost', 'lost', 'committed']
      expect((await store.write(batch, LATER)).commits).toEqual(answers)
      const done = ['run:trigger', 'run:start', 'step:complete', 'run:complete']
      expect(await kindsOf(store, 'a')).toEqual(done)
      expect((await store.write(batch, LATER)).commits).toEqual(answers)
      expect(await kindsOf(store, 'a')).toEqual(done)
    })

    test('under a cancelled lease is refused, also after a retry and another claim', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      const stale = commitOf(claimed, [stepDone(2)])
      await act(store, 'cancel', 'a')
      expect(await commit(store, stale)).toBe('cancelled')
      await act(store, 'retry', 'a')
      const retried = await existing(store, 'a')
      expect(retried).toMatchObject({ status: 'pending', attempt: 2, completedAt: null })
      expect(await commit(store, stale)).toBe('lost')
      expect(await store.renew(worker, START)).toEqual([])
      const next = only(await claim(store, { workerId: 'other' }))
      expect(next.run.generation).toBe(claimed.run.generation + 2)
      expect(await commit(store, stale)).toBe('lost')
      expect(await kindsOf(store, 'a')).toEqual([
        'run:trigger',
        'run:start',
        'run:cancel',
        'run:retry',
        'run:start',
      ])
    })
  })

  describe('a renewal', () => {
    test('names the running runs of the worker, and no others', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a'), newRun('b'), newRun('c'), newRun('d'), newRun('e')])
      const [a, b, c] = await claim(store, { limit: 3 })
      await claim(store, { workerId: 'other', limit: 1 })
      if (!a || !b || !c) throw new Error('Three runs were to be claimed')
      await commit(store, ending(a, 'complete'))
      await act(store, 'cancel', 'b')
      expect(await store.renew(worker, START)).toEqual([heldOf(c.run)])
      expect(await store.leases('worker')).toEqual([heldOf(c.run)])
      expect(await store.renew({ ...worker, workerId: 'idle' }, START)).toEqual([])
      expect(await store.leases('unheard of')).toEqual([])
    })

    test('keeps the lease', async () => {
      const [store] = await open()
      const { run } = await startRun(store, 'a')
      expect(await store.look([JOB], START + LEASE_MS / 2)).toMatchObject({ orphans: false })
      await store.renew(worker, START + LEASE_MS / 2)
      const now = START + LEASE_MS + SECOND
      expect(await store.look([JOB], now)).toMatchObject({ orphans: false })
      expect(await reclaim(store, {}, now)).toEqual({ claimed: [], others: [] })
      const later = START + 2 * LEASE_MS
      expect(await store.look([JOB], later)).toMatchObject({ orphans: true })
      expect(idsOf((await reclaim(store, {}, later)).claimed)).toEqual([run.id])
    })

    test('comes with every claim', async () => {
      const [store] = await open()
      await startRun(store, 'a')
      await enqueue(store, [newRun('b')])
      const half = START + LEASE_MS / 2
      await claim(store, { limit: 1 }, half)
      expect(await store.look([JOB], half + LEASE_MS - SECOND)).toMatchObject({ orphans: false })
      expect(await store.look([JOB], half + LEASE_MS + SECOND)).toMatchObject({ orphans: true })
    })

    test('comes with the claim of a worker that had been forgotten meanwhile', async () => {
      const [store] = await open()
      await startRun(store, 'a')
      await reclaim(store, {}, DEAD)
      await enqueue(store, [newRun('b')])
      await claim(store, {}, DEAD)
      const now = DEAD + LEASE_MS + SECOND
      expect(idsOf((await reclaim(store, {}, now)).claimed)).toContain('b')
    })

    test('takes an expired lease up again that nobody took', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      expect(await store.renew(worker, DEAD)).toEqual([heldOf(claimed.run)])
      expect(await store.look([JOB], DEAD)).toMatchObject({ orphans: false })
      expect(await reclaim(store, {}, DEAD)).toEqual({ claimed: [], others: [] })
      expect(await commit(store, ending(claimed, 'complete'), DEAD)).toBe('committed')
    })
  })
})
