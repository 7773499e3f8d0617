import { expect, test } from 'vitest'
import { ValidationError } from '../../../src/core/error.ts'
import type { RunFilter } from '../../../src/core/handle.ts'
import { job, onEveryBackend, type World } from './world.ts'

/** Twelve runs, some of one millisecond, with labels by their number. */
async function seed(world: World) {
  const { durably } = await world.join()
  const { a, b } = durably.register({ a: job(() => 1, 'a'), b: job(() => 2, 'b') })
  const ids: string[] = []
  for (let i = 0; i < 12; i++) {
    const labels = { parity: i % 2 === 0 ? 'even' : 'odd', third: String(i % 3) }
    const { id } = await (i < 8 ? a : b).trigger(i, { labels })
    ids.unshift(id)
    if (i % 4 === 0) await world.advance(1)
  }
  return { durably, ids }
}

onEveryBackend((open) => {
  test('getRuns gives the newest first, in one order for all', async () => {
    const world = await open()
    const { durably, ids } = await seed(world)
    expect((await durably.getRuns()).map(({ id }) => id)).toEqual(ids)
    const other = await world.join()
    expect((await other.durably.getRuns()).map(({ id }) => id)).toEqual(ids)
  })

  test('runs that are asked for all at once come each to who asked, and what is none is none', async () => {
    const world = await open()
    const { durably, ids } = await seed(world)
    const asked = [...ids, 'none', ...ids.toReversed(), 'nothing']
    const runs = await Promise.all(asked.map((id) => durably.getRun(id)))
    expect(runs.map((run) => run?.id ?? null)).toEqual(
      asked.map((id) => (id.startsWith('no') ? null : id)),
    )
  })

  test('as many labels as would keep the database busy are refused', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({ job: job(() => 1) })
    const labels = (count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`label ${i}`, 'x']))
    const { id } = await jobs.job.trigger(null, { labels: labels(50) })
    const tooMany = jobs.job.trigger(null, { labels: labels(51) })
    await expect(tooMany).rejects.toThrow('labels of a run must be 50 at most; got 51')
    expect(await durably.getRuns({ labels: labels(20) })).toMatchObject([{ id }])
    const tooLong = durably.getRuns({ labels: labels(21) })
    await expect(tooLong).rejects.toThrow('labels of a filter must be 20 at most; got 21')
  })

  test('getRuns finds by job, status and labels, all at once', async () => {
    const world = await open()
    const { durably, ids } = await seed(world)
    await durably.cancel(ids[0] ?? '')
    await durably.cancel(ids[11] ?? '')
    const found = async (filter: RunFilter): Promise<unknown[]> =>
      (await durably.getRuns(filter)).map(({ payload }) => payload)
    expect(await found({ jobName: 'b' })).toEqual([11, 10, 9, 8])
    expect(await found({ status: 'cancelled' })).toEqual([11, 0])
    expect(await found({ status: ['cancelled', 'pending'], jobName: 'b' })).toEqual([11, 10, 9, 8])
    expect(await found({ status: [] })).toHaveLength(12)
    expect(await found({ status: 'completed' })).toEqual([])
    expect(await found({ labels: { parity: 'even' } })).toEqual([10, 8, 6, 4, 2, 0])
    expect(await found({ labels: { parity: 'even', third: '0' } })).toEqual([6, 0])
    expect(await found({ labels: { parity: 'even' }, jobName: 'b' })).toEqual([10, 8])
    expect(await found({ labels: { parity: 'neither' } })).toEqual([])
    expect(await found({ labels: { unknown: 'x' } })).toEqual([])
    expect(await found({ jobName: 'nobody' })).toEqual([])
    // It must not find the runs of everyone.
    const unknown = { labels: { parity: undefined } } as never
    await expect(found(unknown)).rejects.toThrow('label "parity" must be a string; got undefined')
    expect(() => durably.subscribeRuns(unknown)).toThrow('label "parity" must be a string')
  })

  test('pages by cursor meet, also when the run they start from was deleted', async () => {
    const world = await open()
    const { durably, ids } = await seed(world)
    const seen: string[] = []
    let cursor: string | undefined
    for (let pages = 0; pages < 4; pages++) {
      const page = await durably.getRuns({ limit: 5, cursor })
      seen.push(...page.map(({ id }) => id))
      cursor = page.at(-1)?.id ?? cursor
      if (cursor === undefined || page.length === 0) continue
      await durably.cancel(cursor)
      await durably.deleteRun(cursor)
    }
    expect(seen).toEqual(ids)
  })

  test('limit and offset each work alone and together', async () => {
    const world = await open()
    const { durably, ids } = await seed(world)
    const idsOf = async (filter: RunFilter): Promise<string[]> =>
      (await durably.getRuns(filter)).map(({ id }) => id)
    expect(await idsOf({ limit: 2 })).toEqual(ids.slice(0, 2))
    expect(await idsOf({ offset: 10 })).toEqual(ids.slice(10))
    expect(await idsOf({ limit: 3, offset: 4 })).toEqual(ids.slice(4, 7))
    expect(await idsOf({ limit: 0 })).toEqual([])
    expect(await idsOf({ offset: 100 })).toEqual([])
    expect(await idsOf({ limit: Number.MAX_SAFE_INTEGER })).toEqual(ids)
    expect(await idsOf({ labels: { parity: 'odd' }, limit: 2, offset: 1 })).toHaveLength(2)
  })

  const bad: [name: string, filter: object, message: RegExp][] = [
    ['an unknown filter', { state: 'pending' }, /^unknown filter "state"; the filters are jobName/],
    ['an unknown status', { status: 'done' }, /^status must be one of .*; got 'done'$/],
    [
      'an unknown status in a list',
      { status: ['pending', 5] },
      /^status must be one of .*; got 5$/,
    ],
    ['a negative limit', { limit: -1 }, /^limit must be a whole number.*got -1$/],
    ['half a limit', { limit: 1.5 }, /^limit must be a whole number/],
    ['text as an offset', { offset: '1' }, /^offset must be a whole number/],
    ['a number as a job name', { jobName: 5 }, /^jobName must be a string; got 5/],
    ['an empty cursor', { cursor: '' }, /^cursor must not be empty/],
    ['a number as a label', { labels: { a: 1 } }, /^label "a" must be a string; got 1/],
  ]

  test.each(bad)('%s is refused by name', async (_, filter, message) => {
    const world = await open()
    const { durably } = await world.join()
    const refusal = durably.getRuns(filter)
    await expect(refusal).rejects.toThrow(message)
    await expect(refusal).rejects.toBeInstanceOf(ValidationError)
  })

  test('what is not there is null or empty', async () => {
    const world = await open()
    const { durably } = await world.join()
    expect(await durably.getRun('nobody')).toBeNull()
    expect(await durably.getSteps('nobody')).toEqual([])
    expect(await durably.getLogs('nobody')).toEqual([])
    expect(await durably.getRuns()).toEqual([])
    expect(durably.getJob('nobody')).toBeUndefined()
  })

  test('what was read can be changed without changing what others read', async () => {
    const world = await open()
    const { durably, ids } = await seed(world)
    const run = await durably.getRun(ids[0] ?? '')
    Object.assign(run ?? {}, { status: 'completed' })
    Object.assign(run?.labels ?? {}, { parity: 'changed' })
    expect(await durably.getRun(ids[0] ?? '')).toMatchObject({
      status: 'pending',
      labels: { parity: 'odd' },
    })
  })

  test('a run tells when it started and ended', async () => {
    const world = await open()
    const { env } = await world.join()
    const { jobs, durably } = await world.work({
      job: job(() => new Promise<void>((done) => void env.after(250, done))),
    })
    const begin = world.now()
    await world.advance(10)
    const { id } = await jobs.job.trigger(null)
    const iso = (ms: number): string => new Date(begin + ms).toISOString()
    expect(await world.until(durably.waitForRun(id))).toMatchObject({
      createdAt: iso(10),
      startedAt: iso(10),
      completedAt: iso(260),
      updatedAt: iso(260),
    })
  })
})
