import { describe, expect, test } from 'vitest'
import { KEPT_IDS_MS } from '../../../src/store/store.ts'
import {
  act,
  claim,
  commit,
  ending,
  enqueue,
  existing,
  idsOf,
  JOB,
  kindsOf,
  newRun,
  nothing,
  only,
  onEveryBackend,
  SECOND,
  START,
  startRun,
  stateOf,
} from './scenario.ts'

const LATER = START + SECOND
const MANY = 10_000

onEveryBackend((open) => {
  test('a new run is stored as it was given', async () => {
    const [store] = await open()
    const given = {
      id: 'a',
      jobName: JOB,
      payload: { format: 'rich', text: '[["Date","2026-01-01T00:00:00.000Z"]]' },
      idempotencyKey: 'once',
      concurrencyKey: 'tenant',
      labels: { tenant: 'acme', region: 'eu' },
      priority: -3,
      dueAt: START + 5 * SECOND,
      expireAt: START + 9 * SECOND,
    } as const
    const record = {
      ...given,
      status: 'pending',
      output: null,
      error: null,
      progress: null,
      attempt: 1,
      generation: 0,
      crashes: 0,
      executing: null,
      parentRunId: null,
      inbox: 0,
      waitingFor: null,
      createdAt: START,
      updatedAt: START,
      startedAt: null,
      completedAt: null,
    }
    const entry = { seq: 1, generation: 0, kind: 'run:trigger', name: null, at: START, data: '{}' }

    expect(only(await enqueue(store, [{ ...given, coalesce: false }]))).toEqual({
      disposition: 'created',
      run: record,
      entry: { runId: 'a', ...entry },
    })
    expect(await store.run('a')).toEqual(record)
    expect(await store.journal('a', 0, 10)).toEqual({
      run: record,
      entries: [{ runId: 'a', ...entry }],
    })
  })

  test('without a due time it is due now', async () => {
    const [store] = await open()
    const { run } = only(await enqueue(store, [newRun('a')]))
    expect(run.dueAt).toBe(START)
  })

  test('what was given or got can be changed without changing the store', async () => {
    const [store] = await open()
    const labels: Record<string, string> = { tenant: 'acme' }
    const { run } = only(await enqueue(store, [newRun('a', { labels })]))
    labels.tenant = 'given'
    Object.assign(run.labels, { tenant: 'got' })
    Object.assign((await existing(store, 'a')).labels, { tenant: 'read' })
    expect((await existing(store, 'a')).labels).toEqual({ tenant: 'acme' })
  })

  test(`a batch of ${MANY} keeps its order`, async () => {
    const [store] = await open()
    const ids = Array.from({ length: MANY }, (_, i) => `run-${String(i).padStart(6, '0')}`)
    const runs = ids.map((id, i) => newRun(id, { labels: i % 100 === 0 ? { hundred: 'yes' } : {} }))
    const answers = await enqueue(store, runs)
    expect(idsOf(answers)).toEqual(ids)
    expect(new Set(answers.map(({ disposition }) => disposition))).toEqual(new Set(['created']))
    const labelled = await store.runs({ labels: { hundred: 'yes' }, limit: MANY })
    expect(labelled).toHaveLength(MANY / 100)
    expect(idsOf(await claim(store, { limit: 3 }))).toEqual(ids.slice(0, 3))
  })

  test('sending a batch again changes nothing and answers the same', async () => {
    const [store] = await open()
    const runs = [
      newRun('a'),
      newRun('b', { idempotencyKey: 'once' }),
      newRun('c', { concurrencyKey: 'key', labels: { tenant: 'acme' } }),
      newRun('d', { dueAt: START + 5 * SECOND, expireAt: START + 9 * SECOND }),
    ]
    const first = await enqueue(store, runs)
    expect(await enqueue(store, runs, LATER)).toEqual(first)
    expect(await store.runs({})).toHaveLength(runs.length)
    for (const { id } of runs) expect(await kindsOf(store, id)).toEqual(['run:trigger'])
  })

  test('sending it again later answers with the run as it is by then', async () => {
    const [store] = await open()
    const runs = [newRun('a', { idempotencyKey: 'once' })]
    const { entry } = only(await enqueue(store, runs))
    await commit(store, ending(only(await claim(store)), 'complete'))
    const before = await stateOf(store, 'a')
    const run = await existing(store, 'a')
    expect(run.status).toBe('completed')
    expect(await enqueue(store, runs, LATER)).toEqual([{ disposition: 'created', run, entry }])
    expect(await stateOf(store, 'a')).toEqual(before)
  })

  describe('an idempotency key', () => {
    const keyed = (id: string, jobName = JOB) => newRun(id, { jobName, idempotencyKey: 'once' })

    test('finds the run of the same job and writes nothing', async () => {
      const [store] = await open()
      const { run } = only(await enqueue(store, [keyed('a')]))
      expect(await enqueue(store, [keyed('b')], LATER)).toEqual([
        { disposition: 'idempotent', run, entry: null },
      ])
      expect(idsOf(await enqueue(store, [keyed('c', 'other job')], LATER))).toEqual(['c'])
      expect((await store.runs({})).map(({ id }) => id)).toEqual(['c', 'a'])
      expect(await kindsOf(store, 'a')).toEqual(['run:trigger'])
    })

    test.each(['complete', 'fail', 'release', 'cancel'] as const)(
      'finds it whatever became of it: %s',
      async (end) => {
        const [store] = await open()
        const claimed = await startRun(store, 'a', keyed('a'))
        if (end === 'cancel') await act(store, 'cancel', 'a')
        else await commit(store, ending(claimed, end))
        const run = await existing(store, 'a')
        const before = await stateOf(store, 'a')
        expect(await enqueue(store, [keyed('b')], LATER)).toEqual([
          { disposition: 'idempotent', run, entry: null },
        ])
        expect(await stateOf(store, 'a')).toEqual(before)
      },
    )

    test('used twice in a batch makes a run of the first, whatever its id, and two answers', async () => {
      const [store] = await open()
      const answers = await enqueue(store, [keyed('d'), newRun('b'), keyed('c'), keyed('a')])
      expect(idsOf(answers)).toEqual(['d', 'b', 'd', 'd'])
      const dispositions = answers.map(({ disposition }) => disposition)
      expect(dispositions).toEqual(['created', 'created', 'idempotent', 'idempotent'])
      expect(answers.map(({ entry }) => entry?.seq)).toEqual([1, 1, undefined, undefined])
    })

    test('used by eight processes at once makes one run and eight answers', async () => {
      const stores = await open(8)
      const answers = await Promise.all(
        stores.map((store, i) => enqueue(store, [keyed(`run-${i}`)]).then(only)),
      )
      const dispositions = answers.map(({ disposition }) => disposition).sort()
      expect(dispositions).toEqual(['created', ...Array<string>(7).fill('idempotent')])
      expect(new Set(idsOf(answers)).size).toBe(1)
      expect(await stores[0].runs({})).toHaveLength(1)
    })

    test('is free again when its run is deleted', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('a')])
      await act(store, 'cancel', 'a')
      await act(store, 'delete', 'a')
      expect(only(await enqueue(store, [keyed('b')]))).toMatchObject({
        disposition: 'created',
        run: { id: 'b' },
      })
    })
  })

  describe('a run that is sent again', () => {
    const again = (id: string) => newRun(id, { concurrencyKey: 'key', isSentAgain: true })

    test('is not made anew once it was deleted', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a', { concurrencyKey: 'key' })])
      await act(store, 'cancel', 'a')
      await act(store, 'delete', 'a')
      expect(await enqueue(store, [again('a'), again('b')])).toMatchObject([
        { disposition: 'created', run: { id: 'a', status: 'pending' }, entry: null },
        { disposition: 'created', run: { id: 'b' }, entry: { seq: 1 } },
      ])
      expect(await store.run('a')).toBeNull()
      expect(idsOf(await claim(store))).toEqual(['b'])
    })

    test('neither when it was purged', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a')])
      await act(store, 'cancel', 'a')
      expect(await store.purge({}, LATER, 10, LATER)).toEqual(['a'])
      expect(await enqueue(store, [again('a')])).toMatchObject([{ entry: null }])
      expect(await store.runs({})).toEqual([])
    })

    test('is forgotten after a while', async () => {
      const [store] = await open()
      await enqueue(store, [newRun('a'), newRun('b')])
      await act(store, 'cancel', 'a')
      await act(store, 'delete', 'a')
      const late = START + KEPT_IDS_MS
      await enqueue(store, [newRun('c')], late)
      await act(store, 'cancel', 'c', late)
      await act(store, 'delete', 'c', late)
      expect(await enqueue(store, [again('a'), again('c')], late)).toMatchObject([
        { entry: { seq: 1 } },
        { entry: null },
      ])
    })
  })

  describe('coalescing', () => {
    const keyed = (id: string) => newRun(id, { concurrencyKey: 'key' })
    const coalescing = (id: string) => ({ ...keyed(id), coalesce: true })

    test('is said once of a trigger that is sent again', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('a')])
      const first = await enqueue(store, [coalescing('b')])
      expect(await enqueue(store, [coalescing('b')], LATER)).toEqual(first)
      await enqueue(store, [coalescing('c')])
      expect(await enqueue(store, [coalescing('b')], LATER)).toMatchObject([{ entry: { seq: 2 } }])
      expect(await kindsOf(store, 'a')).toEqual(['run:trigger', 'run:coalesced', 'run:coalesced'])
    })

    test('takes the pending run of the job and key, and says so in its journal', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('a')])
      const answer = only(await enqueue(store, [coalescing('b')], LATER))
      const run = await existing(store, 'a')
      expect(run).toMatchObject({ status: 'pending', updatedAt: LATER })
      expect(answer).toMatchObject({ disposition: 'coalesced', run })
      const entry = { seq: 2, kind: 'run:coalesced', at: LATER, data: '{"by":"b"}' }
      expect(answer.entry).toMatchObject(entry)
      expect(await kindsOf(store, 'a')).toEqual(['run:trigger', 'run:coalesced'])
      expect(await store.run('b')).toBeNull()
    })

    test('takes a delayed run too', async () => {
      const [store] = await open()
      await enqueue(store, [{ ...keyed('a'), dueAt: START + 60 * SECOND }])
      expect(idsOf(await enqueue(store, [coalescing('b')]))).toEqual(['a'])
    })

    test('takes no run of another job or key', async () => {
      const [store] = await open()
      await enqueue(store, [
        { ...keyed('a'), jobName: 'other job' },
        newRun('b', { concurrencyKey: 'other key' }),
        newRun('c'),
      ])
      expect(only(await enqueue(store, [coalescing('d')]))).toMatchObject({
        disposition: 'created',
        run: { id: 'd' },
      })
    })

    test.each(['release', 'complete', 'fail'] as const)(
      'takes no run that ever started: %s',
      async (end) => {
        const [store] = await open()
        const claimed = await startRun(store, 'a', keyed('a'))
        expect(idsOf(await enqueue(store, [coalescing('b')]))).toEqual(['b'])
        await act(store, 'cancel', 'b')
        await commit(store, ending(claimed, end))
        expect(idsOf(await enqueue(store, [coalescing('c')]))).toEqual(['c'])
      },
    )

    test('takes no run whose time to start is over', async () => {
      const [store] = await open()
      await enqueue(store, [{ ...keyed('a'), expireAt: LATER }])
      expect(idsOf(await enqueue(store, [coalescing('b')], LATER))).toEqual(['b'])
    })

    test('takes the one that is due first', async () => {
      const [store] = await open()
      await enqueue(store, [{ ...keyed('a'), dueAt: LATER }, keyed('c'), keyed('b')])
      expect(idsOf(await enqueue(store, [coalescing('d')]))).toEqual(['b'])
    })

    test('in a batch looks at the plain runs of the batch first, then at each other', async () => {
      const [store] = await open()
      const answers = await enqueue(store, [
        coalescing('a'),
        keyed('b'),
        { ...coalescing('c'), concurrencyKey: 'other key' },
        { ...coalescing('d'), concurrencyKey: 'other key' },
      ])
      expect(idsOf(answers)).toEqual(['b', 'b', 'c', 'c'])
      const dispositions = answers.map(({ disposition }) => disposition)
      expect(dispositions).toEqual(['coalesced', 'created', 'created', 'coalesced'])
      expect(await kindsOf(store, 'b')).toEqual(['run:trigger', 'run:coalesced'])
    })

    test('appends once for each trigger of a batch that it takes', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('a')])
      const answers = await enqueue(store, [coalescing('b'), coalescing('c'), coalescing('d')])
      expect(idsOf(answers)).toEqual(['a', 'a', 'a'])
      expect(answers.map(({ entry }) => entry?.seq)).toEqual([2, 3, 4])
    })

    test('comes after idempotency', async () => {
      const [store] = await open()
      await enqueue(store, [keyed('a'), newRun('b', { idempotencyKey: 'once' })])
      const both = { ...coalescing('c'), idempotencyKey: 'once' }
      expect(only(await enqueue(store, [both]))).toMatchObject({
        disposition: 'idempotent',
        run: { id: 'b' },
      })
    })
  })

  test('a run can be enqueued and claimed in one write', async () => {
    const [store] = await open()
    const request = { workerId: 'worker', leaseMs: 1000, jobs: [JOB], limit: 1 }
    const batch = { ...nothing, runs: [newRun('a')], claim: request }
    const { runs, claimed } = await store.write(batch, START)
    expect(idsOf(runs)).toEqual(['a'])
    expect(idsOf(claimed)).toEqual(['a'])
    expect(await kindsOf(store, 'a')).toEqual(['run:trigger', 'run:start'])
  })
})
