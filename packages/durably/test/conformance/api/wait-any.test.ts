import { describe, expect, test } from 'vitest'
import type { JobHandle } from '../../../src/core/handle.ts'
import { wait } from '../../../src/core/wait.ts'
import { begin } from './waiting-run.ts'
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
