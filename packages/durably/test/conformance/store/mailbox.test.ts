import { describe, expect, test } from 'vitest'
import {
  act,
  claim,
  commit,
  commitOf,
  ending,
  enqueue,
  existing,
  mailOf,
  newRun,
  newSend,
  nothing,
  onEveryBackend,
  only,
  parking,
  parkRun,
  SECOND,
  send,
  START,
  startRun,
  stateOf,
  stepDone,
  waitFor,
} from './scenario.ts'

const LATER = START + SECOND

onEveryBackend((open) => {
  describe('a message', () => {
    test('to a run that does not wait is kept, in order of arrival', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a')])
      const first = newSend('a', 'x')
      const sent = await send(store, first, LATER)
      const run = await existing(store, 'a')
      expect(sent).toEqual({ done: true, isNew: true, run, entry: null })
      expect(run).toMatchObject({ status: 'pending', inbox: 1, updatedAt: START })
      await send(store, newSend('a', 'y'))
      const { data } = first
      expect(await store.mailbox('a')).toEqual({
        inbox: 2,
        messages: [
          { seq: 1, kind: 'signal', name: 'x', data },
          { seq: 2, kind: 'signal', name: 'y', data: { format: 'json', text: '"y"' } },
        ],
      })
      expect(only(await claim(store)).run.inbox).toBe(2)
    })

    test('wakes a run that waits for it', async () => {
      const [store] = await open()
      await parkRun(store, 'a', [waitFor('token', 'x'), waitFor('signal', 'x')])
      const sent = await send(store, newSend('a', 'x'), LATER)
      const run = await existing(store, 'a')
      expect(run).toMatchObject({ status: 'pending', waitingFor: null, inbox: 1, updatedAt: LATER })
      const entry = {
        runId: 'a',
        seq: 4,
        generation: 1,
        kind: 'run:wake',
        name: null,
        at: LATER,
        data: '{"reason":"signal"}',
      }
      expect(sent).toEqual({ done: true, isNew: true, run, entry })
      const page = await store.journal('a', 3, 10)
      expect(page?.entries).toEqual([entry])
    })

    test.each([
      ['another name', waitFor('signal', 'y')],
      ['a token of that name', waitFor('token', 'x')],
      ['a sleep of that name', waitFor('sleep', 'x')],
      ['a run of that name', waitFor('run', 'x')],
    ])('does not wake a run that waits for %s', async (_, wait) => {
      const [store] = await open()
      await parkRun(store, 'a', [wait])
      expect(await send(store, newSend('a', 'x'))).toMatchObject({ isNew: true, entry: null })
      expect((await existing(store, 'a')).status).toBe('waiting')
      expect(await mailOf(store, 'a')).toEqual(['signal x'])
    })

    test('that is sent again is the same message, read or not, and when the run has ended', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      const message = newSend('a', 'x')
      await send(store, message)
      const again = { done: true, isNew: false, entry: null }
      expect(await send(store, message)).toEqual({ ...again, run: await existing(store, 'a') })
      expect(await mailOf(store, 'a')).toEqual(['signal x'])
      const reading = { ...commitOf(claimed, [stepDone(2)]), consumes: [1] }
      expect(await commit(store, reading)).toBe('committed')
      expect(await send(store, message)).toMatchObject(again)
      expect(await mailOf(store, 'a')).toEqual([])
      await commit(store, ending(claimed, 'complete', 3))
      expect(await send(store, message)).toMatchObject(again)
      expect((await existing(store, 'a')).inbox).toBe(1)
    })

    test('of another run may have the same id', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a'), newRun('b')])
      const sends = ['a', 'b'].map((runId) => newSend(runId, 'x', { id: 'same' }))
      const written = await store.write({ ...nothing, sends }, START)
      expect(written.sends).toMatchObject([{ isNew: true }, { isNew: true }])
    })

    test('twice in one batch is one', async () => {
      const [store] = await open()
      await parkRun(store, 'a', [waitFor('signal', 'x')])
      const sends = [newSend('a', 'x'), newSend('a', 'x'), newSend('a', 'y')]
      const written = await store.write({ ...nothing, sends }, START)
      expect(written.sends).toMatchObject([
        { isNew: true, entry: { kind: 'run:wake' }, run: { inbox: 1 } },
        { isNew: false, entry: null },
        { isNew: true, entry: null, run: { status: 'pending', inbox: 2 } },
      ])
      expect(await mailOf(store, 'a')).toEqual(['signal x', 'signal y'])
    })

    test('can be for a run of the same batch', async () => {
      const [store] = await open()
      const batch = { ...nothing, runs: [newRun('a')], sends: [newSend('a', 'x')] }
      const written = await store.write(batch, START)
      expect(written.sends).toMatchObject([{ done: true, isNew: true, run: { inbox: 1 } }])
    })

    test('for nobody, or for a run that has ended, is refused', async () => {
      const [store] = await open()
      const none = { done: false, reason: 'unknown', status: null }
      expect(await send(store, newSend('none', 'x'))).toEqual(none)
      await commit(store, ending(await startRun(store, 'a'), 'fail'))
      const before = await stateOf(store, 'a')
      const ended = { done: false, reason: 'ended', status: 'failed' }
      expect(await send(store, newSend('a', 'x'))).toEqual(ended)
      expect(await stateOf(store, 'a')).toEqual(before)
    })

    test('for a run that the same batch ends comes too late', async () => {
      const [store] = await open()
      const commits = [ending(await startRun(store, 'a'), 'complete')]
      const written = await store.write({ ...nothing, commits, sends: [newSend('a', 'x')] }, START)
      expect(written.sends).toEqual([{ done: false, reason: 'ended', status: 'completed' }])
    })

    test('is there again after a retry of the run', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a')])
      await send(store, newSend('a', 'x'))
      await act(store, 'cancel', 'a')
      await act(store, 'retry', 'a')
      expect(await mailOf(store, 'a')).toEqual(['signal x'])
    })
  })

  describe('what a commit consumes', () => {
    test('is gone with it, and only that', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      for (const name of ['x', 'y', 'z']) await send(store, newSend('a', name))
      const reading = { ...commitOf(claimed, [stepDone(2)]), consumes: [1, 3] }
      expect(await commit(store, reading)).toBe('committed')
      expect(await mailOf(store, 'a')).toEqual(['signal y'])
      expect(await commit(store, reading)).toBe('committed')
      expect(await store.mailbox('a')).toMatchObject({ inbox: 3, messages: [{ seq: 2 }] })
    })

    test('stays when the lease is gone, or the park is refused', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await send(store, newSend('a', 'x'))
      const stale = { ...claimed, run: { ...claimed.run, generation: 0 } }
      const reading = { ...commitOf(stale, [stepDone(2)]), consumes: [1] }
      expect(await commit(store, reading)).toBe('lost')
      expect(await commit(store, { ...reading, entries: [] })).toBe('lost')
      expect(await commit(store, { ...parking(claimed), consumes: [1] })).toBe('moved')
      expect(await mailOf(store, 'a')).toEqual(['signal x'])
    })

    test('can be consumed by a commit that says nothing else', async () => {
      const [store] = await open()
      const claimed = await startRun(store, 'a')
      await send(store, newSend('a', 'x'))
      expect(await commit(store, { ...commitOf(claimed, []), consumes: [1] })).toBe('committed')
      expect(await mailOf(store, 'a')).toEqual([])
    })
  })

  describe('the early end of a sleep', () => {
    const wake = (name: string) => newSend('a', name, { kind: 'wake' })

    test.each(['sleep', 'retry'] as const)('wakes a run in a %s of that name', async (kind) => {
      const [store] = await open()
      await parkRun(store, 'a', [waitFor(kind, 'nap')], { wakeAt: LATER })
      expect(await send(store, wake('nap'))).toMatchObject({
        entry: { kind: 'run:wake', data: '{"reason":"wake"}' },
      })
      expect(await store.promote(10, LATER)).toEqual([])
    })

    test('is refused by a waiting run that does not sleep so', async () => {
      const [store] = await open()
      await parkRun(store, 'a', [waitFor('signal', 'nap'), waitFor('sleep', 'other')])
      const before = await stateOf(store, 'a')
      const refused = { done: false, reason: 'not-waiting', status: 'waiting' }
      expect(await send(store, wake('nap'))).toEqual(refused)
      expect(await stateOf(store, 'a')).toEqual(before)
    })

    test('is kept for a run that may come to it', async () => {
      const [store] = await open()
      await startRun(store, 'a')
      expect(await send(store, wake('nap'))).toMatchObject({ done: true, entry: null })
      expect(await mailOf(store, 'a')).toEqual(['wake nap'])
    })
  })

  test('the mailbox of a run goes with it', async () => {
    const [store] = await open()
    await enqueue(store, [newRun('a')])
    await send(store, newSend('a', 'x'))
    await act(store, 'cancel', 'a')
    await act(store, 'delete', 'a')
    expect(await store.mailbox('a')).toEqual({ inbox: 0, messages: [] })
    await enqueue(store, [newRun('a')])
    expect(await store.mailbox('a')).toEqual({ inbox: 0, messages: [] })
    expect(await send(store, newSend('a', 'x'))).toMatchObject({ isNew: true })
  })
})
