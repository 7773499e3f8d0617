import { describe, expect, test } from 'vitest'
import type { Claim, Store } from '../../src/store/store.ts'
import {
  act,
  claim,
  commit,
  ending,
  enqueue,
  existing,
  mailOf,
  newRun,
  newSend,
  nothing,
  only,
  parkRun,
  reclaim,
  START,
  waitFor,
} from '../conformance/store/scenario.ts'
import { createHeldPool, openSchema, recorded } from './postgres-schema.ts'

const LATER = START + 1000

/** How the run `child` ends, of which `openEnding` has made a run that can end so. */
const endings: Record<string, (store: Store, child: Claim) => Promise<unknown>> = {
  'an end': (store, child) => commit(store, ending(child, 'complete')),
  'a cancel': (store) => act(store, 'cancel', 'z child'),
  'an expiry': (store) => store.promote(10, START),
  'a last crash': (store) => reclaim(store, { maxCrashes: 1 }, START),
}

describe.each(Object.keys(endings))('%s', (how) => {
  const end = (store: Store, child: Claim) => endings[how]?.(store, child)
  const letters = ['a parent', 'z child'].map((id) => newSend(id, 'two'))

  test('is kept from a deadlock with messages', async () => {
    const { schema, held, first, second, third, errors } = await openThree()
    const child = await openEnding(first, how)
    await first.watch('a parent', 'z child', START)

    const transaction = held.hold()
    const sending = first.write({ ...nothing, sends: [newSend('z child', 'one')] }, START)
    await transaction.reached
    const ended = end(second, child)
    await schema.untilBlocked()
    const crossing = third.write({ ...nothing, sends: letters }, START)
    await schema.untilBlocked(2)
    transaction.commit()
    await Promise.all([sending, ended, crossing])
    expect(errors).toEqual([])
    expect(await mailOf(first, 'a parent')).toContain('run z child')
  })

  test('begins anew if someone came to wait for it whom others hold', async () => {
    const { schema, held, first, second, third, errors } = await openThree()
    const child = await openEnding(first, how)

    const looked = held.holdBefore(locks)
    const ended = end(first, child)
    await looked.reached
    await second.watch('a parent', 'z child', START)
    const told = held.holdBefore(looksForWaiters)
    looked.go()
    await told.reached
    const crossing = third.write({ ...nothing, sends: letters }, START)
    await schema.untilBlocked()
    told.go()
    await Promise.all([ended, crossing])
    expect(errors).toEqual([])
    expect(await mailOf(first, 'a parent')).toContain('run z child')
    expect(await existing(first, 'z child')).not.toMatchObject({ completedAt: null })
  })
})

test('runs that end, and others, are locked in one order: due and expired', async () => {
  const three = await openThree()
  const { first, errors } = three
  await enqueue(first, [newRun('z', { expireAt: START })])
  await parkRun(first, 'm', [], { wakeAt: START })
  await enqueue(first, [newRun('a', { dueAt: LATER })])

  const waking = /set ready = \(concurrency_key is null\)/
  const promote = () => first.promote(10, LATER)
  expect(await crossing(three, waking, promote, ['a', 'm', 'z'])).toHaveLength(2)
  expect(errors).toEqual([])
})

test('runs that end, and others, are locked in one order: of a dead worker', async () => {
  const three = await openThree()
  const { first, errors } = three
  const dies = { leaseMs: 0 }
  await parkRun(first, 'z parent', [waitFor('run', 'm')])
  await enqueue(first, [newRun('m')])
  await claim(first, dies)
  await reclaim(first, { workerId: 'second', ...dies }, START)
  await enqueue(first, [newRun('a')])
  await claim(first, { workerId: 'second', ...dies })
  await first.watch('z parent', 'm', START)

  const take = () => reclaim(first, { maxCrashes: 2 }, START)
  const { claimed } = await crossing(three, /is_paused/, take, ['a', 'z parent'])
  expect(only(claimed).run).toMatchObject({ id: 'a' })
  expect(errors).toEqual([])
  expect(await mailOf(first, 'z parent')).toContain('run m')
})

test('runs that end, and the next of their keys, are locked in one order', async () => {
  const three = await openThree()
  const { first, errors } = three
  const one = { concurrencyKey: 'one' }
  await enqueue(first, [newRun('a', one), newRun('c', { concurrencyKey: 'other' })])
  await enqueue(first, [newRun('b', one)], LATER)
  const claims = await claim(first)

  const commits = claims.map((claimed) => ending(claimed, 'complete'))
  const end = () => first.write({ ...nothing, commits }, LATER)
  await crossing(three, settlesKey, end, ['b', 'c'])
  expect(errors).toEqual([])
  expect(only(await claim(first)).run).toMatchObject({ id: 'b', inbox: 1 })
})

test('a run that is cancelled, and the next of its key, are locked in one order', async () => {
  const three = await openThree()
  const { first, errors } = three
  const key = { concurrencyKey: 'key' }
  await enqueue(first, [newRun('b', key)])
  await enqueue(first, [newRun('a', key)], LATER)

  await crossing(three, settlesKey, () => act(first, 'cancel', 'b', LATER), ['a', 'b'])
  expect(errors).toEqual([])
  expect(only(await claim(first)).run).toMatchObject({ id: 'a', inbox: 1 })
})

test('runs that are purged are locked in one order, whichever ended first', async () => {
  const { schema, held, first, second, third, errors } = await openThree()
  for (const [i, id] of ['z', 'a'].entries()) {
    await enqueue(first, [newRun(id)])
    await first.act({ transition: 'cancel', runId: id }, START + i)
  }
  const transaction = held.hold()
  const blocking = first.watch('z', 'z', START)
  await transaction.reached
  const purging = second.purge({}, LATER, 10, LATER)
  await schema.untilBlocked()
  const sends = ['a', 'z'].map((id) => newSend(id, 'go'))
  const sending = third.write({ ...nothing, sends }, LATER)
  await schema.untilBlocked(2)
  transaction.commit()
  await Promise.all([blocking, sending])
  expect((await purging).toSorted()).toEqual(['a', 'z'])
  expect(errors).toEqual([])
})

test('a purge all of whose runs another one takes goes on to the next', async () => {
  const { schema, held, first, second } = await openThree()
  for (const [i, id] of ['a', 'b', 'c'].entries()) {
    await enqueue(first, [newRun(id)])
    await first.act({ transition: 'cancel', runId: id }, START + i)
  }
  const transaction = held.hold()
  const purging = first.purge({}, LATER, 2, LATER)
  await transaction.reached
  const late = second.purge({}, LATER, 2, LATER)
  await schema.untilBlocked()
  transaction.commit()
  expect(await purging).toHaveLength(2)
  expect(await late).toEqual(['c'])
})

test('a run that was made since a batch locked its recipients is not there for the batch', async () => {
  const { held, first, second } = await openThree()
  await enqueue(first, [newRun('z')])
  const reading = held.holdBefore(/^select r\.\*/)
  const sends = ['a', 'z'].map((id) => newSend(id, 'go'))
  const sending = first.write({ ...nothing, sends }, START)
  await reading.reached
  await enqueue(second, [newRun('a')])
  reading.go()
  expect((await sending).sends).toMatchObject([{ done: false, reason: 'unknown' }, { done: true }])
  expect(await mailOf(second, 'a')).toEqual([])
})

const locks = /^(insert into "durably_journal"|update "durably_runs"|select r.id, r.status, r.gen)/
const looksForWaiters = /^select w.target/
const settlesKey = /set ready = true/

/** Stops the first process' `work` before a statement until the second, which sends these runs something, is blocked. */
async function crossing<T>(
  { schema, held, second }: Awaited<ReturnType<typeof openThree>>,
  statement: RegExp,
  work: () => Promise<T>,
  ids: readonly string[],
): Promise<T> {
  const stopped = held.holdBefore(statement)
  const working = work()
  await stopped.reached
  const sends = ids.map((id) => newSend(id, 'go'))
  const sending = second.write({ ...nothing, sends }, LATER)
  await schema.untilBlocked()
  stopped.go()
  await sending
  return working
}

/** A parent that waits for `z child`, without watching it yet. */
async function openEnding(store: Store, how: string): Promise<Claim> {
  await parkRun(store, 'a parent', [waitFor('run', 'z child')])
  await enqueue(store, [newRun('z child', how === 'an expiry' ? { expireAt: START } : {})])
  const [child] = await claim(store, { leaseMs: how === 'a last crash' ? 0 : 60_000 })
  return child as Claim
}

/** Three processes, all of whose errors are kept; the transactions of the first can be held. */
async function openThree() {
  const schema = await openSchema()
  const errors: unknown[] = []
  const pool = () => recorded(schema.pool(), errors)
  const held = createHeldPool(pool())
  const first = await schema.store(held.pool)
  const second = await schema.store(pool())
  const third = await schema.store(pool())
  return { schema, held, first, second, third, errors }
}
