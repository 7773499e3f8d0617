import { describe, expect, test } from 'vitest'
import type { JobHandle } from '../../../src/core/handle.ts'
import { wait } from '../../../src/core/wait.ts'
import { begin, MINUTE } from './waiting-run.ts'
import { job, onEveryBackend } from './world.ts'

onEveryBackend((open) => {
  describe('waitAny', () => {
    test('gives the first that comes and leaves the others as they are', async () => {
      const world = await open()
      const chooser = job(async (step) => {
        const token = await step.token('t')
        const branches = { yes: wait.signal('yes'), no: wait.signal('no'), it: wait.token(token) }
        return [
          await step.waitAny('first', { ...branches, late: wait.for('1m') }),
          await step.waitAny('second', branches),
        ]
      })
      const { durably, id } = await begin(world, chooser)
      expect((await durably.getRun(id))?.waitingFor).toEqual([
        { kind: 'signal', name: 'yes', until: null },
        { kind: 'signal', name: 'no', until: null },
        { kind: 'token', name: 't', until: null },
        { kind: 'sleep', name: 'first', until: '2027-01-01T00:01:00.000Z' },
      ])
      await world.until(durably.signal(id, 'no', 1))
      await world.until(durably.signal(id, 'yes', 2))
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'completed',
        output: [
          { key: 'no', value: 1 },
          { key: 'yes', value: 2 },
        ],
      })
    })

    test('waits for the end of any run, also of one that has ended', async () => {
      const world = await open()
      const ends = {
        good: job(() => ({ x: 1 }), 'good'),
        bad: job(() => Promise.reject(new Error('broken')), 'bad'),
        slow: job((step) => step.sleep('s', '1m'), 'slow'),
      }
      const watcher = job(async (step, payload) => {
        const ids = payload as string[]
        const values = []
        for (const [i, id] of ids.entries()) {
          values.push((await step.waitAny(`run ${i}`, { run: wait.run(id) })).value)
        }
        return values
      }, 'watcher')
      const { jobs, durably } = await world.work({ ...ends, watcher })
      const ids: string[] = []
      for (const name of ['good', 'bad', 'slow'] as const) {
        const handle: JobHandle = jobs[name]
        ids.push((await world.until(handle.trigger(null))).id)
      }
      await world.advance(60)
      const { id } = await world.until(jobs.watcher.trigger(ids))
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'waiting',
        waitingFor: [{ kind: 'run', name: ids[2], until: null }],
      })
      await world.until(durably.cancel(ids[2] ?? ''))
      await world.advance(60)
      expect((await durably.getRun(id))?.output).toEqual([
        { id: ids[0], status: 'completed', output: { x: 1 }, error: null },
        { id: ids[1], status: 'failed', output: null, error: 'broken' },
        { id: ids[2], status: 'cancelled', output: null, error: null },
      ])
    })

    test('hears at once of an end in the same process, also beside a step that executes', async () => {
      const world = await open()
      const child = job(() => 'done', 'child')
      const stop = Promise.withResolvers<void>()
      let heardAt = 0
      const parent = job(async (step, childId) => {
        const busy = step.run('busy', () => stop.promise)
        await step.waitAny('child', { run: wait.run(childId as string) })
        heardAt = world.now()
        await busy
      }, 'parent')
      const { jobs, durably } = await world.work({ parent, child }, { maxConcurrentRuns: 2 })
      const { id: childId } = await world.until(jobs.child.trigger(null, { delay: '1h' }))
      const { id } = await world.until(jobs.parent.trigger(childId))
      await world.advance(60)
      const endedAt = world.now()
      await world.until(durably.cancel(childId))
      await world.advance(20_000)
      stop.resolve()
      await world.until(durably.waitForRun(id))
      expect(heardAt - endedAt).toBeLessThan(50)
    })

    test('may wait for one run at several places, which all hear of its end', async () => {
      const world = await open()
      const child = job((step) => step.sleep('s', '1m'), 'child')
      const parent = job(async (step, childId) => {
        const ended = async (name: string): Promise<string> =>
          (await step.waitAny(name, { run: wait.run(childId as string) })).value.status
        const both = [ended('a'), ended('b')]
        return [...(await Promise.all(both)), ...(await Promise.all([ended('c'), ended('d')]))]
      }, 'parent')
      const { jobs, durably } = await world.work({ parent, child }, { maxConcurrentRuns: 2 })
      const { id: childId } = await world.until(jobs.child.trigger(null))
      const { id } = await world.until(jobs.parent.trigger(childId))
      await world.advance(60)
      expect((await durably.getRun(id))?.waitingFor).toHaveLength(2)
      await world.advance(MINUTE + 1000)
      expect(await durably.getRun(id)).toMatchObject({
        output: ['completed', 'completed', 'completed', 'completed'],
      })
    })

    test('waits for the end that comes, not for one before the run was retried', async () => {
      const world = await open()
      let failures = 1
      const child = job(async (step) => {
        await step.sleep('s', '1m')
        if (failures-- > 0) throw new Error('broken')
      }, 'child')
      let retry = async (): Promise<void> => {}
      const parent = job(async (step, childId) => {
        const run = wait.run(childId as string)
        const soon = await step.waitAny('soon', { run, late: wait.for('1s') })
        await step.run('retry', () => retry())
        return [soon.key, (await step.waitAny('then', { run })).value]
      }, 'parent')
      const { jobs, durably } = await world.work({ parent, child }, { maxConcurrentRuns: 2 })
      const { id: childId } = await world.until(jobs.child.trigger(null))
      const failed = durably.waitForRun(childId).catch(() => {})
      retry = async () => {
        await failed
        await durably.retry(childId)
      }
      const { id } = await world.until(jobs.parent.trigger(childId))
      await world.advance(3 * MINUTE)
      expect(await durably.getRun(id)).toMatchObject({
        output: ['late', { status: 'completed', error: null }],
      })
    })

    test('for the end of its own run would never end, and is refused', async () => {
      const world = await open()
      const self = job((step) => step.waitAny('end', { run: wait.run(step.runId) }))
      const { durably, id } = await begin(world, self)
      expect(await durably.getRun(id)).toMatchObject({
        error: 'branches of waitAny "end": "run" would wait for the end of its own run',
      })
    })

    test('for a run that does not exist rejects', async () => {
      const world = await open()
      const { durably, id } = await begin(
        world,
        job((step) => step.waitAny('run', { run: wait.run('nobody') })),
      )
      expect(await durably.getRun(id)).toMatchObject({ error: 'Run not found: nobody' })
    })
  })
})
