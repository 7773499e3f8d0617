import { expect, test } from 'vitest'
import type { Send, Store } from '../../../src/store/store.ts'
import {
  act,
  commit,
  commitOf,
  ending,
  enqueue,
  mailOf,
  newRun,
  nothing,
  onEveryBackend,
  parking,
  SECOND,
  send,
  START,
  startRun,
  stepDone,
  waitFor,
} from './scenario.ts'

const HASH = 'hash of the token'
const EXPIRES = START + SECOND

/** Starts a run that hands out a token of the step `approval`. */
async function handOut(store: Store, expiresAt: number | null = null) {
  const claimed = await startRun(store, 'a')
  const tokens = [{ hash: HASH, name: 'approval', expiresAt }]
  const answer = await commit(store, { ...commitOf(claimed, [stepDone(2, 'approval')]), tokens })
  expect(answer).toBe('committed')
  return claimed
}

function completion(id: string, tokenHash = HASH): Send {
  return {
    id,
    to: { tokenHash },
    kind: 'token',
    name: '',
    data: { format: 'json', text: `"${id}"` },
  }
}

onEveryBackend((open) => {
  test('who has the token can complete it, under the name that its run gave it', async () => {
    const [store] = await open()
    const claimed = await handOut(store)
    const park = parking(claimed, { waits: [waitFor('token', 'approval')] }, 3)
    expect(await commit(store, park)).toBe('committed')
    expect(await send(store, completion('one'))).toMatchObject({
      done: true,
      isNew: true,
      run: { id: 'a', status: 'pending' },
      entry: { kind: 'run:wake', data: '{"reason":"token"}' },
    })
    expect(await store.mailbox('a')).toEqual({
      inbox: 1,
      messages: [
        { seq: 1, kind: 'token', name: 'approval', data: { format: 'json', text: '"one"' } },
      ],
    })
  })

  test('it is completed once, and the same completion is itself', async () => {
    const [store] = await open()
    const claimed = await handOut(store)
    await send(store, completion('one'))
    const used = { done: false, reason: 'used', status: 'running' }
    expect(await send(store, completion('two'))).toEqual(used)
    expect(await send(store, completion('one'))).toMatchObject({ done: true, isNew: false })
    expect(await mailOf(store, 'a')).toEqual(['token approval'])
    await commit(store, { ...commitOf(claimed, [stepDone(3)]), consumes: [1] })
    await commit(store, ending(claimed, 'complete', 4))
    expect(await send(store, completion('one'))).toMatchObject({ done: true, isNew: false })
    expect(await send(store, completion('two'))).toMatchObject({ reason: 'used' })
  })

  test('it can be completed in the batch that hands it out', async () => {
    const [store] = await open()
    const claimed = await startRun(store, 'a')
    const tokens = [{ hash: HASH, name: 'approval', expiresAt: null }]
    const commits = [{ ...commitOf(claimed, [stepDone(2, 'approval')]), tokens }]
    const { sends } = await store.write({ ...nothing, commits, sends: [completion('one')] }, START)
    expect(sends).toMatchObject([{ done: true, isNew: true, run: { id: 'a', inbox: 1 } }])
    expect(await mailOf(store, 'a')).toEqual(['token approval'])
  })

  test('of two completions in one batch the first counts', async () => {
    const [store] = await open()
    await handOut(store)
    const sends = [completion('one'), completion('two'), completion('one')]
    const written = await store.write({ ...nothing, sends }, START)
    expect(written.sends).toMatchObject([
      { done: true, isNew: true },
      { done: false, reason: 'used' },
      { done: true, isNew: false },
    ])
  })

  test('nobody completes one that does not exist', async () => {
    const [store] = await open()
    await handOut(store)
    const unknown = { done: false, reason: 'unknown', status: null }
    expect(await send(store, completion('one', 'other'))).toEqual(unknown)
  })

  test('its time ends at the moment it is said to', async () => {
    const [store] = await open()
    await handOut(store, EXPIRES)
    const expired = { done: false, reason: 'expired', status: 'running' }
    expect(await send(store, completion('one'), EXPIRES)).toEqual(expired)
    expect(await send(store, completion('one'), EXPIRES - 1)).toMatchObject({ done: true })
  })

  test('it cannot be completed once its run has ended', async () => {
    const [store] = await open()
    await handOut(store)
    await act(store, 'cancel', 'a')
    const ended = { done: false, reason: 'ended', status: 'cancelled' }
    expect(await send(store, completion('one'))).toEqual(ended)
    await act(store, 'retry', 'a')
    expect(await send(store, completion('one'))).toMatchObject({ done: true })
  })

  test('a commit that was refused hands out nothing', async () => {
    const [store] = await open()
    const claimed = await startRun(store, 'a')
    const stale = { ...claimed, run: { ...claimed.run, generation: 0 } }
    const tokens = [{ hash: HASH, name: 'approval', expiresAt: null }]
    expect(await commit(store, { ...commitOf(stale, [stepDone(2)]), tokens })).toBe('lost')
    expect(await send(store, completion('one'))).toMatchObject({ reason: 'unknown' })
  })

  test('handing it out again, since the answer was lost, leaves it completed', async () => {
    const [store] = await open()
    const claimed = await startRun(store, 'a')
    const tokens = [{ hash: HASH, name: 'approval', expiresAt: null }]
    const request = { ...commitOf(claimed, [stepDone(2, 'approval')]), tokens }
    await commit(store, request)
    await send(store, completion('one'))
    expect(await commit(store, request)).toBe('committed')
    expect(await send(store, completion('two'))).toMatchObject({ reason: 'used' })
  })

  test('it goes with its run', async () => {
    const [store] = await open()
    await handOut(store)
    await act(store, 'cancel', 'a')
    await act(store, 'delete', 'a')
    await enqueue(store, [newRun('a')])
    expect(await send(store, completion('one'))).toMatchObject({ reason: 'unknown' })
  })
})
