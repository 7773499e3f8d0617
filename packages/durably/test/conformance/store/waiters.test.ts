import { describe, expect, test } from 'vitest'
import type { Claim, Store } from '../../../src/store/store.ts'
import {
  act,
  claim,
  commit,
  commitOf,
  ending,
  enqueue,
  existing,
  idsOf,
  kindsOf,
  LEASE_MS,
  mailOf,
  newRun,
  newSend,
  nothing,
  onEveryBackend,
  only,
  parking,
  reclaim,
  send,
  START,
  startRun,
  stepDone,
  waitFor,
} from './scenario.ts'

const DEAD = START + 2 * LEASE_MS

/** A parent that waits for its child, which nobody has claimed. */
async function parkParent(store: Store, child = newRun('child')) {
  const parent = await startRun(store, 'parent')
  await enqueue(store, [child])
  expect(await store.watch('parent', 'child', START)).toBe(0)
  await commit(store, parking(parent, { waits: [waitFor('run', 'child')] }))
  return parent
}

async function news(store: Store, runId = 'parent'): Promise<unknown> {
  const { messages } = await store.mailbox(runId)
  const { kind, name, data } = only(messages)
  expect({ kind, name, format: data?.format }).toEqual({
    kind: 'run',
    name: 'child',
    format: 'json',
  })
  return JSON.parse(data?.text ?? '')
}

const WOKEN = { run: { id: 'parent', status: 'pending' }, entry: { kind: 'run:wake', seq: 4 } }

onEveryBackend((open) => {
  describe('a run that waits for another one is told', () => {
    test('of its completion, by the batch that completes it', async () => {
      const [store] = await open()
      await parkParent(store)
      const commits = [ending(only(await claim(store)), 'complete')]
      const { woken } = await store.write({ ...nothing, commits }, START)
      expect(woken).toMatchObject([WOKEN])
      expect(woken[0]?.entry.data).toBe('{"reason":"run"}')
      expect(woken[0]?.run).toEqual(await existing(store, 'parent'))
      const output = { format: 'json', text: '"done"' }
      expect(await news(store)).toEqual({ status: 'completed', output, error: null })
      expect(await store.write({ ...nothing, commits }, START)).toMatchObject({
        commits: ['committed'],
        woken: [],
      })
      expect(await kindsOf(store, 'parent')).toEqual([
        'run:trigger',
        'run:start',
        'run:wait',
        'run:wake',
      ])
    })

    test('of its failure', async () => {
      const [store] = await open()
      await parkParent(store)
      await commit(store, ending(only(await claim(store)), 'fail'))
      const error = { name: 'Error', message: 'no' }
      expect(await news(store)).toEqual({ status: 'failed', output: null, error })
    })

    test('of its cancellation', async () => {
      const [store] = await open()
      await parkParent(store)
      expect(await act(store, 'cancel', 'child')).toMatchObject({ done: true, woken: [WOKEN] })
      expect(await news(store)).toEqual({ status: 'cancelled', output: null, error: null })
    })

    test('of its expiry', async () => {
      const [store] = await open()
      await parkParent(store, newRun('child', { expireAt: START + 1 }))
      const facts = await store.promote(10, START + 1)
      expect(facts).toMatchObject([{ run: { id: 'child', status: 'cancelled' } }, WOKEN])
      expect(await news(store)).toMatchObject({ status: 'cancelled' })
    })

    test('that it was given up', async () => {
      const [store] = await open()
      await parkParent(store)
      await claim(store)
      const { others } = await reclaim(store, { maxCrashes: 1 }, DEAD)
      expect(others).toMatchObject([{ run: { id: 'child', status: 'failed' } }, WOKEN])
      expect(await news(store)).toMatchObject({
        status: 'failed',
        error: { message: 'Run crashed 1 times in a row' },
      })
    })

    test('at once, if it has ended, and then it is not woken', async () => {
      const [store] = await open()
      await commit(store, ending(await startRun(store, 'child'), 'complete'))
      const parent = await startRun(store, 'parent')
      expect(await store.watch('parent', 'child', START)).toBe(0)
      expect(await news(store)).toMatchObject({ status: 'completed' })
      const waits = [waitFor('run', 'child')]
      expect(await commit(store, parking(parent, { waits }))).toBe('moved')
      expect(await commit(store, parking(parent, { waits, inbox: 1 }))).toBe('committed')
    })
  })

  test('it is not told that the other one goes on', async () => {
    const [store] = await open()
    await parkParent(store)
    await commit(store, ending(only(await claim(store)), 'release'))
    const child = only(await claim(store))
    await commit(store, parking(child))
    await store.act({ transition: 'wake', runId: 'child', generation: 2 }, START)
    expect(await store.mailbox('parent')).toEqual({ inbox: 0, messages: [] })
    await commit(store, ending(only(await claim(store)), 'complete'))
    expect(await mailOf(store, 'parent')).toEqual(['run child'])
  })

  test('all that wait are told, each once, and anew whenever it asks once more', async () => {
    const [store] = await open()
    const child = await startRun(store, 'child')
    await startRun(store, 'a')
    await startRun(store, 'b')
    for (const id of ['b', 'a', 'b']) expect(await store.watch(id, 'child', START)).toBe(0)
    await commit(store, ending(child, 'complete'))
    for (const id of ['a', 'b']) {
      expect(await store.mailbox(id)).toMatchObject({ inbox: 1, messages: [{ seq: 1 }] })
      expect(await store.watch(id, 'child', START)).toBe(1)
      expect(await store.mailbox(id)).toMatchObject({ inbox: 2, messages: [{ seq: 2 }] })
    }
  })

  test('one that has read of the end is told again when it asks again', async () => {
    const [store] = await open()
    await commit(store, ending(await startRun(store, 'child'), 'complete'))
    const parent = await startRun(store, 'parent')
    await store.watch('parent', 'child', START)
    await commit(store, { ...commitOf(parent, [stepDone(2)]), consumes: [1] })
    expect(await mailOf(store, 'parent')).toEqual([])
    await store.watch('parent', 'child', START)
    expect(await store.mailbox('parent')).toMatchObject({ inbox: 2, messages: [{ seq: 2 }] })
  })

  test('what it was told of an end before a retry is replaced', async () => {
    const [store] = await open()
    await startRun(store, 'parent')
    await commit(store, ending(await startRun(store, 'child'), 'fail'))
    await store.watch('parent', 'child', START)
    await act(store, 'retry', 'child')
    await store.watch('parent', 'child', START)
    expect(await mailOf(store, 'parent')).toEqual([])
    await commit(store, ending(only(await claim(store)), 'complete'))
    expect(await news(store)).toMatchObject({ status: 'completed' })
  })

  test('it is told of one end, and of the next one only when it asks again', async () => {
    const [store] = await open()
    await startRun(store, 'parent')
    const child = await startRun(store, 'child')
    await store.watch('parent', 'child', START)
    await commit(store, ending(child, 'fail'))
    await act(store, 'retry', 'child')
    await commit(store, ending(only(await claim(store)), 'complete'))
    expect(await news(store)).toMatchObject({ status: 'failed' })
    await store.watch('parent', 'child', START)
    expect(await news(store)).toMatchObject({ status: 'completed' })
  })

  test('a signal may have the id of a run, and neither takes the place of the other', async () => {
    const [store] = await open()
    const child = await startRun(store, 'child')
    await startRun(store, 'parent')
    await store.watch('parent', 'child', START)
    await send(store, newSend('parent', 'x', { id: 'child' }))
    await commit(store, ending(child, 'complete'))
    expect(await mailOf(store, 'parent')).toEqual(['signal x', 'run child'])
    expect(await send(store, newSend('parent', 'x', { id: 'child' }))).toMatchObject({
      isNew: false,
    })
  })

  test('a run that has ended itself is told, for it may be retried', async () => {
    const [store] = await open()
    await parkParent(store)
    await act(store, 'cancel', 'parent')
    const { woken } = await store.write(
      { ...nothing, commits: [ending(only(await claim(store)), 'complete')] },
      START,
    )
    expect(woken).toEqual([])
    expect(await mailOf(store, 'parent')).toEqual(['run child'])
  })

  test('nobody waits for a run that does not exist', async () => {
    const [store] = await open()
    await startRun(store, 'parent')
    expect(await store.watch('parent', 'none', START)).toBeNull()
    expect(await store.watch('none', 'parent', START)).toBeNull()
  })

  test('a run that was deleted waits for nothing', async () => {
    const [store] = await open()
    await parkParent(store)
    await act(store, 'cancel', 'parent')
    await act(store, 'delete', 'parent')
    await enqueue(store, [newRun('parent')])
    const child = (await claim(store)).find(({ run }) => run.id === 'child')
    if (child === undefined) throw new Error('The child was not claimed')
    expect(await commit(store, ending(child, 'complete'))).toBe('committed')
    expect(await mailOf(store, 'parent')).toEqual([])
  })

  test('runs that one batch ends tell the runs that wait in the order of the batch', async () => {
    const [store] = await open()
    const ids = ['c', 'a', 'b']
    const children: Claim[] = []
    for (const id of ids) children.push(await startRun(store, id))
    const parent = await startRun(store, 'parent')
    for (const id of ids) await store.watch('parent', id, START)
    await commit(store, parking(parent, { waits: [waitFor('run', 'a')] }))
    const commits = children.map((child) => ending(child, 'complete'))
    const { woken } = await store.write({ ...nothing, commits }, START)
    expect(idsOf(woken)).toEqual(['parent'])
    expect(woken[0]?.run.inbox).toBe(2)
    expect(await mailOf(store, 'parent')).toEqual(['run c', 'run a', 'run b'])
  })
})
