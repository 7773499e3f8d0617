import { describe, expect, test } from 'vitest'
import type { Send } from '../../src/store/store.ts'
import {
  act,
  claim,
  commit,
  commitOf,
  ending,
  enqueue,
  kindsOf,
  mailOf,
  newRun,
  newSend,
  nothing,
  only,
  parking,
  parkRun,
  send,
  START,
  startRun,
  stepDone,
  waitFor,
} from '../conformance/store/scenario.ts'
import { openTwo } from './postgres-schema.ts'

const GO = [waitFor('signal', 'go')]
const PARKED = ['run:trigger', 'run:start', 'run:wait']

describe('a park', () => {
  test('that meets a message about to commit is refused', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const transaction = held.hold()
    const sending = send(first, newSend('a', 'go'))
    await transaction.reached
    const answer = commit(second, parking(claimed, { waits: GO }))
    await schema.untilBlocked()
    transaction.commit()
    expect(await sending).toMatchObject({ done: true, run: { status: 'running', inbox: 1 } })
    expect(await answer).toBe('moved')
    expect(await kindsOf(second, 'a')).toEqual(['run:trigger', 'run:start'])
  })

  test('that is about to commit is seen by a message, which wakes the run', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const transaction = held.hold()
    const parked = commit(first, parking(claimed, { waits: GO }))
    await transaction.reached
    const sending = send(second, newSend('a', 'go'))
    await schema.untilBlocked()
    transaction.commit()
    expect(await parked).toBe('committed')
    expect(await sending).toMatchObject({ done: true, entry: { seq: 4, kind: 'run:wake' } })
    expect(await kindsOf(second, 'a')).toEqual([...PARKED, 'run:wake'])
  })

  test('that meets a cancel about to commit is refused', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const transaction = held.hold()
    const cancelling = act(first, 'cancel', 'a')
    await transaction.reached
    const answer = commit(second, parking(claimed, { waits: GO, wakeAt: START }))
    await schema.untilBlocked()
    transaction.commit()
    await cancelling
    expect(await answer).toBe('cancelled')
    expect(await second.promote(10, START)).toEqual([])
  })

  test('that is about to commit is cancelled like any wait', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const transaction = held.hold()
    const parked = commit(first, parking(claimed, { waits: GO, wakeAt: START }))
    await transaction.reached
    const cancelling = act(second, 'cancel', 'a')
    await schema.untilBlocked()
    transaction.commit()
    expect(await parked).toBe('committed')
    expect(await cancelling).toMatchObject({ done: true, run: { waitingFor: null } })
    expect(await second.promote(10, START)).toEqual([])
    expect(await kindsOf(second, 'a')).toEqual([...PARKED, 'run:cancel'])
  })
})

describe('an end', () => {
  test('that is about to commit is told to who comes to watch it', async () => {
    const { schema, held, first, second } = await openTwo()
    const child = await startRun(first, 'child')
    const parent = await startRun(first, 'parent')
    const transaction = held.hold()
    const completing = commit(first, ending(child, 'complete'))
    await transaction.reached
    const watching = second.watch('parent', 'child', START)
    await schema.untilBlocked()
    transaction.commit()
    await completing
    expect(await watching).toBe(0)
    expect(await mailOf(second, 'parent')).toEqual(['run child'])
    expect(await commit(second, parking(parent))).toBe('moved')
  })

  test.each(['complete', 'cancel'])(
    'that meets a watch about to commit tells it: %s',
    async (how) => {
      const { schema, held, first, second } = await openTwo()
      const child = await startRun(first, 'child')
      await parkRun(first, 'parent', [waitFor('run', 'child')])
      const transaction = held.hold()
      const watching = first.watch('parent', 'child', START)
      await transaction.reached
      const ended =
        how === 'cancel'
          ? act(second, 'cancel', 'child')
          : second.write({ ...nothing, commits: [ending(child, 'complete')] }, START)
      await schema.untilBlocked()
      transaction.commit()
      expect(await watching).toBe(0)
      expect(await ended).toMatchObject({ woken: [{ run: { id: 'parent', status: 'pending' } }] })
      expect(await mailOf(second, 'parent')).toEqual(['run child'])
    },
  )

  test('by expiry that meets a watch about to commit tells it', async () => {
    const { schema, held, first, second } = await openTwo()
    await parkRun(first, 'parent', [waitFor('run', 'child')])
    await enqueue(first, [newRun('child', { expireAt: START })])
    const transaction = held.hold()
    const watching = first.watch('parent', 'child', START)
    await transaction.reached
    const promoting = second.promote(10, START)
    await schema.untilBlocked()
    transaction.commit()
    await watching
    expect(await promoting).toMatchObject([{ run: { id: 'child' } }, { run: { id: 'parent' } }])
  })

  test('of two runs at once tells the one that waits for both twice, and wakes it once', async () => {
    const { schema, held, first, second } = await openTwo()
    const one = await startRun(first, 'one')
    const other = await startRun(first, 'other')
    await parkRun(first, 'parent', [waitFor('run', 'one'), waitFor('run', 'other')])
    for (const id of ['one', 'other']) await first.watch('parent', id, START)
    const transaction = held.hold()
    const completing = commit(first, ending(one, 'complete'))
    await transaction.reached
    const late = second.write({ ...nothing, commits: [ending(other, 'fail')] }, START)
    await schema.untilBlocked()
    transaction.commit()
    await completing
    expect(await late).toMatchObject({ commits: ['committed'], woken: [] })
    expect(await mailOf(second, 'parent')).toEqual(['run one', 'run other'])
    expect(await kindsOf(second, 'parent')).toEqual([...PARKED, 'run:wake'])
  })
})

describe('a message', () => {
  test('that two send with one id is one', async () => {
    const { schema, held, first, second } = await openTwo()
    await parkRun(first, 'a', GO)
    const transaction = held.hold()
    const winning = send(first, newSend('a', 'go'))
    await transaction.reached
    const losing = send(second, newSend('a', 'go'))
    await schema.untilBlocked()
    transaction.commit()
    expect(await winning).toMatchObject({ isNew: true, entry: { kind: 'run:wake' } })
    expect(await losing).toMatchObject({ isNew: false, entry: null })
    expect(await mailOf(second, 'a')).toEqual(['signal go'])
  })

  test('that was taken back is not there for the next one', async () => {
    const { schema, held, first, second } = await openTwo()
    await parkRun(first, 'a', GO)
    const transaction = held.hold()
    const failing = send(first, newSend('a', 'go'))
    await transaction.reached
    const sending = send(second, newSend('a', 'go'))
    await schema.untilBlocked()
    transaction.fail(new Error('The network is gone'))
    await expect(failing).rejects.toThrow('The network is gone')
    expect(await sending).toMatchObject({ isNew: true, run: { inbox: 1 } })
  })

  test('that completes a token is the only one', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const tokens = [{ hash: 'hash', name: 'x', expiresAt: null }]
    await commit(first, { ...commitOf(claimed, [stepDone(2)]), tokens })
    const completion = (id: string): Send => ({
      ...newSend('', 'x', { id, kind: 'token' }),
      to: { tokenHash: 'hash' },
    })
    const transaction = held.hold()
    const winning = send(first, completion('one'))
    await transaction.reached
    const losing = send(second, completion('two'))
    const again = send(second, completion('one'))
    await schema.untilBlocked(2)
    transaction.commit()
    expect(await winning).toMatchObject({ isNew: true })
    expect(await losing).toMatchObject({ done: false, reason: 'used' })
    expect(await again).toMatchObject({ done: true, isNew: false })
  })

  test('that meets a timer wakes the run once', async () => {
    const { schema, held, first, second } = await openTwo()
    await parkRun(first, 'a', GO, { wakeAt: START })
    const transaction = held.hold()
    const promoting = first.promote(10, START)
    await transaction.reached
    const sending = send(second, newSend('a', 'go'))
    await schema.untilBlocked()
    transaction.commit()
    expect(await promoting).toHaveLength(1)
    expect(await sending).toMatchObject({ isNew: true, entry: null })
    expect(await kindsOf(second, 'a')).toEqual([...PARKED, 'run:wake'])
  })

  test('and the timer that comes late wake the run once', async () => {
    const { schema, held, first, second } = await openTwo()
    await parkRun(first, 'a', GO, { wakeAt: START })
    const transaction = held.hold()
    const sending = send(first, newSend('a', 'go'))
    await transaction.reached
    const promoting = second.promote(10, START)
    await schema.untilBlocked()
    transaction.commit()
    expect(await sending).toMatchObject({ entry: { kind: 'run:wake' } })
    expect(await promoting).toEqual([])
    expect(await kindsOf(second, 'a')).toEqual([...PARKED, 'run:wake'])
  })

  test('meets the end of its run, and comes too late', async () => {
    const { schema, held, first, second } = await openTwo()
    const claimed = await startRun(first, 'a')
    const transaction = held.hold()
    const completing = commit(first, ending(claimed, 'complete'))
    await transaction.reached
    const sending = send(second, newSend('a', 'go'))
    await schema.untilBlocked()
    transaction.commit()
    await completing
    expect(await sending).toEqual({ done: false, reason: 'ended', status: 'completed' })
  })

  test('about to commit hides its run from a claim, which finds it right after', async () => {
    const { held, first, second } = await openTwo()
    await enqueue(first, [newRun('a')])
    const transaction = held.hold()
    const sending = send(first, newSend('a', 'go'))
    await transaction.reached
    expect(await claim(second)).toEqual([])
    transaction.commit()
    await sending
    expect(only(await claim(second)).run).toMatchObject({ id: 'a', inbox: 1 })
  })
})
