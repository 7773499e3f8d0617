import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import type { JobQuery } from '../../src/client/job-observer.ts'
import { createObservers, type Observers } from '../../src/client/observers.ts'
import type { Observed } from '../../src/client/observed.ts'
import { DurablyError, TimeoutError } from '../../src/core/error.ts'
import { defineJob } from '../../src/core/job.ts'
import type { Client } from '../../src/client/client.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'
import { implementations, overHttp } from './clients.ts'

const waits = job(async (step) => {
  step.progress(1, 2)
  step.log.info('waiting')
  return step.waitForSignal('go')
}, 'waits')
const add = defineJob({
  name: 'add',
  input: z.object({ a: z.number() }),
  run: (_step, { a }) => a + 1,
})
const fails = job(() => {
  throw new Error('out of ink')
}, 'fails')
const talks = job((step) => {
  for (let i = 0; i < 50; i++) step.log.info(`line ${i}`)
}, 'talks')

const chatters = job(async (step) => {
  for (let i = 0; i < 1500; i++) step.log.info(`line ${i}`)
  await step.waitForSignal('go')
  step.log.info('that was all')
}, 'chatters')

const recites = job(async (step) => {
  const write = async (name: string, chunks: readonly unknown[]): Promise<void> => {
    const writer = step.stream(name).getWriter()
    for (const chunk of chunks) await writer.write(chunk)
    await writer.close()
  }
  await step.run(
    'recite',
    async (signal, { attempt }) => {
      if (attempt === 2) return write('words', ['a', 'second', 'try'])
      await write('words', ['a first try'])
      return new Promise<void>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('lost for words')))
      })
    },
    { timeout: '5s', retry: { attempts: 2, delay: '1s' } },
  )
  await step.run('go on', () => write('more', [1]))
}, 'recites')

const ticks = job(async (step) => {
  for (let i = 0; i < 100; i++) {
    step.progress(i, 100)
    await step.run(`tick ${i}`, () => i)
    await step.sleep(`after ${i}`, '1s')
  }
}, 'ticks')

/** Works as long as it may, twice, and then waits. */
const tires = job(async (step) => {
  const work = (name: string) =>
    step
      .run(name, () => new Promise<void>(() => {}), { timeout: '5s' })
      .catch(() => step.progress(1, 2))
  await work('one')
  await work('two')
  await step.waitForSignal('go')
}, 'tires')

let isBroken = true
const flaky = job(() => {
  if (isBroken) throw new Error('out of ink')
  return 'printed'
}, 'flaky')

const jobs = { waits, add, fails, talks, recites, flaky, chatters, ticks, tires }

/** A page that someone looks at all the time. */
const seen = { isVisible: () => true, onChange: () => () => {} }

/** Listens until the test is over, and keeps all that was shown. */
function watch<T>(observed: Observed<T>) {
  const states: T[] = []
  const stop = observed.subscribe(() => void states.push(observed.get()))
  onTestFinished(stop)
  return { states, stop, last: () => observed.get() }
}

/** Lets what nobody listens to any more come to its end. */
function windDown(world: World): void {
  onTestFinished(() => world.advance(1000))
}

inMemory((open) => {
  describe.each(implementations)('over a client $name', ({ connect }) => {
    async function begin() {
      const world = await open()
      windDown(world)
      const process = await world.work(jobs)
      const client = connect(process)
      const observers = createObservers(client, process.env, seen)
      return { world, process, client, observers }
    }

    async function beginWaiting() {
      const begun = await begin()
      const { id } = await begun.process.jobs.waits.trigger(null)
      await begun.world.advance(200)
      return { ...begun, id }
    }

    test('a run is shown as it is, then as it becomes', async () => {
      const { world, process, observers, id } = await beginWaiting()
      const run = watch(observers.run(id))
      expect(run.last()).toMatchObject({ isLoading: true, status: null, run: null })
      await world.advance(200)
      expect(run.last()).toMatchObject({
        isLoading: false,
        status: 'waiting',
        isWaiting: true,
        isActive: true,
        isTerminal: false,
        progress: { current: 1, total: 2 },
        logs: [{ message: 'waiting', level: 'info' }],
      })
      // Never as it was before.
      expect(new Set(run.states.map(({ status }) => status))).toEqual(new Set(['waiting']))
      await process.durably.signal(id, 'go', 'now')
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'completed', output: 'now', isTerminal: true })
    })

    test('a run that ended long ago is shown as that, and its log', async () => {
      const { world, process, observers } = await begin()
      const { id } = await process.jobs.fails.trigger(null)
      await world.advance(60_000)
      const run = watch(observers.run(id))
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'failed', error: 'out of ink', isFailed: true })
      expect(new Set(run.states.map(({ status }) => status))).toEqual(new Set(['failed']))
    })

    test('of a long log the last lines are kept', async () => {
      const { world, process, observers } = await begin()
      const { id } = await world.until(process.jobs.talks.triggerAndWait(null))
      const run = watch(observers.run(id, { maxLogs: 2000 }))
      await world.advance(200)
      expect(run.last().logs.map(({ message }) => message)).toEqual(
        Array.from({ length: 50 }, (_, i) => `line ${i}`),
      )
      // What came together was one change, or two.
      expect(run.states.length).toBeLessThan(4)
    })

    test('streams are shown without what failed attempts wrote', async () => {
      const { world, process, observers } = await begin()
      const { id } = await process.jobs.recites.trigger(null)
      await world.advance(500)
      const run = watch(observers.run(id))
      await world.advance(200)
      expect(run.last().streams).toEqual({ words: ['a first try'] })
      await world.advance(10_000)
      expect(run.last().streams).toEqual({ words: ['a', 'second', 'try'], more: [1] })
      expect(run.states.some(({ streams }) => Object.keys(streams).length === 0)).toBe(true)
      // Who comes later sees what counts.
      const late = watch(createObservers(connect(process), process.env, seen).run(id))
      await world.advance(200)
      expect(late.last().streams).toEqual({ words: ['a', 'second', 'try'], more: [1] })
    })

    test('a run that does not exist is an error, of no run there is nothing', async () => {
      const { world, observers } = await begin()
      const run = watch(observers.run('nobody'))
      const none = watch(observers.run(null))
      await world.advance(200)
      expect(run.last()).toMatchObject({
        loadError: { message: 'Run not found: nobody' },
        run: null,
      })
      expect(none.last()).toMatchObject({ isLoading: false, status: null })
    })

    test('who shows the same run shares what follows it, and the last one ends that', async () => {
      const { world, process, observers, id } = await beginWaiting()
      const before = process.env.timers()
      const [one, two] = [watch(observers.run(id)), watch(observers.run(id))]
      await world.advance(200)
      expect(one.last()).toBe(two.last())
      one.stop()
      await world.advance(200)
      expect(two.last()).toMatchObject({ status: 'waiting' })
      two.stop()
      // Taken away and put back at once, as React does it in development.
      const again = watch(observers.run(id))
      expect(again.last()).toMatchObject({ status: 'waiting', isLoading: false })
      again.stop()
      await world.advance(1000)
      expect(process.env.timers()).toBe(before)
    })

    test('what is done to a run shows at once, and is taken back if it is refused', async () => {
      const { world, process, observers, id } = await beginWaiting()
      const run = watch(observers.run(id))
      const actions = observers.actions()
      const shown = watch(actions)
      await world.advance(200)
      const away = Promise.withResolvers<never>()
      process.wire.intercept((operation, proceed) =>
        operation === 'act' ? away.promise : proceed(),
      )
      const refused = actions.cancel(id)
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'cancelled' })
      expect(shown.last()).toEqual({ isPending: true, error: null })
      away.reject(new Error('away'))
      await expect(world.until(refused)).rejects.toThrow()
      process.wire.intercept(null)
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'waiting' })
      expect(shown.last()).toMatchObject({ isPending: false, error: expect.any(Error) as Error })
      await world.until(actions.cancel(id))
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'cancelled', isCancelled: true })
      expect(shown.last()).toEqual({ isPending: false, error: null })
      // It had ended; retried, it is followed again.
      await world.until(actions.retry(id))
      await world.advance(200)
      await process.durably.signal(id, 'go', 1)
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'completed', output: 1 })
    })

    test('a run that is retried shows at once nothing of how it had ended', async () => {
      const { world, process, observers } = await begin()
      const { id } = await world.until(process.jobs.fails.trigger(null))
      const run = watch(observers.run(id))
      await world.advance(1000)
      expect(run.last()).toMatchObject({
        status: 'failed',
        run: { errorDetail: { message: 'out of ink' } },
      })
      const away = Promise.withResolvers<never>()
      process.wire.intercept((operation, proceed) =>
        operation === 'act' ? away.promise : proceed(),
      )
      const refused = observers.actions().retry(id)
      await world.advance(200)
      const none = { output: null, error: null, errorDetail: null, completedAt: null }
      expect(run.last()).toMatchObject({ status: 'pending', run: none })
      away.reject(new Error('away'))
      await expect(world.until(refused)).rejects.toThrow()
      process.wire.intercept(null)
    })

    test('a run is shown although its database was busy when it was asked for', async () => {
      const { world, process, client, id } = await beginWaiting()
      let isBusy = true
      const busy: Client = {
        ...client,
        async getRun(runId: string) {
          if (isBusy) throw new Error('database is locked')
          return client.getRun(runId) as never
        },
      }
      const run = watch(createObservers(busy, process.env, seen).run(id))
      await world.advance(3000)
      expect(run.last()).toMatchObject({ isLoading: true, loadError: null })
      isBusy = false
      await world.advance(2000)
      expect(run.last()).toMatchObject({ status: 'waiting', loadError: null })
    })

    /** Shows a run and a job whose reads fail as long as there is a failure. */
    async function beginFailing(failure: Error) {
      const { world, process, client, id } = await beginWaiting()
      const database = { failure: failure as Error | null, reads: 0 }
      const read = <A extends unknown[], T>(ask: (...args: A) => Promise<T>) => {
        return async (...args: A): Promise<T> => {
          database.reads++
          if (database.failure !== null) throw database.failure
          return ask(...args)
        }
      }
      const failing = { ...client, getRun: read(client.getRun), getRuns: read(client.getRuns) }
      const observers = createObservers(failing, process.env, seen)
      const shown = [watch(observers.run(id)), watch(observers.job('waits'))]
      const all = (state: object) => {
        expect(shown.map(({ last }) => last())).toMatchObject([state, state])
      }
      return { world, database, all }
    }

    test('what lasts until someone mends it is told, and is over with it', async () => {
      const loadError = new DurablyError('store', "Durably's tables are not in this database")
      const { world, database, all } = await beginFailing(loadError)
      await world.advance(3000)
      all({ isLoading: true, loadError, status: null })
      database.failure = null
      await world.advance(2000)
      all({ isLoading: false, loadError: null, status: 'waiting' })
    })

    test.each(['closed', 'unreadable'] as const)(
      'what will not be over is told, and not asked for again: %s',
      async (code) => {
        const loadError = new DurablyError(code, 'for good')
        const { world, database, all } = await beginFailing(loadError)
        await world.advance(200)
        all({ isLoading: false, loadError, status: null })
        const { reads } = database
        await world.advance(10_000)
        expect(database.reads).toBe(reads)
      },
    )

    test.each(['done', 'refused'] as const)(
      'a cancel that is %s after a while shows until then, whatever else is told of the run',
      async (how) => {
        const { world, process, observers } = await begin()
        const { id } = await process.jobs.ticks.trigger(null)
        const run = watch(observers.run(id))
        await world.advance(1500)
        const answer = Promise.withResolvers<void>()
        process.wire.intercept(async (operation, proceed) => {
          if (operation === 'act') await answer.promise
          return proceed()
        })
        const cancelled = observers.actions().cancel(id)
        await world.advance(100)
        const { progress } = run.last()
        run.states.length = 0
        await world.advance(3000)
        expect(run.last().progress?.current).toBeGreaterThan((progress?.current ?? 0) + 1)
        if (how === 'done') answer.resolve()
        else answer.reject(new Error('busy'))
        await world.until(cancelled.catch(() => {}))
        const shown = new Set(run.states.map(({ status }) => status))
        expect([...shown]).toEqual(['cancelled'])
        process.wire.intercept(null)
        run.states.length = 0
        await world.advance(3000)
        if (how === 'done') expect(run.last()).toMatchObject({ status: 'cancelled' })
        else expect(run.last()).toMatchObject({ isActive: true })
        expect(run.states.some(({ isActive }) => isActive)).toBe(how === 'refused')
      },
    )

    test('a run that ends before it could be cancelled is shown with its own end', async () => {
      const { world, process, observers, id } = await beginWaiting()
      const run = watch(observers.run(id))
      await world.advance(200)
      const answer = Promise.withResolvers<void>()
      process.wire.intercept(async (operation, proceed) => {
        if (operation === 'act') await answer.promise
        return proceed()
      })
      const cancelled = observers.actions().cancel(id)
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'cancelled' })
      await process.durably.signal(id, 'go', 'now')
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'completed', output: 'now' })
      answer.resolve()
      await expect(world.until(cancelled)).rejects.toThrow('Cannot cancel completed run')
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'completed', output: 'now' })
    })

    test('an answer that comes late does not undo what was told meanwhile', async () => {
      const { world, process, client, id } = await beginWaiting()
      let late: Promise<void> | null = null
      const slow: Client = {
        ...client,
        async getRun(runId: string) {
          const run = await client.getRun(runId)
          await late
          return run as never
        },
      }
      const observers = createObservers(slow, process.env, seen)
      const run = watch(observers.run(id))
      await world.advance(200)
      const answer = Promise.withResolvers<void>()
      late = answer.promise
      await world.until(observers.actions().signal(id, 'unheard'))
      await process.durably.signal(id, 'go', 'now')
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'completed', output: 'now' })
      answer.resolve()
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'completed', output: 'now' })
    })

    test('what becomes of a run is shown also after the clock was set back', async () => {
      const { world, process, observers } = await begin()
      const { id } = await process.jobs.waits.trigger(null)
      await world.advance(200)
      const run = watch(observers.run(id))
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'waiting' })
      process.setAhead(-60_000)
      await process.durably.signal(id, 'go', 'now')
      await world.advance(200)
      expect(run.last()).toMatchObject({ status: 'completed', output: 'now' })
      // Who comes later sees the same.
      const late = watch(createObservers(connect(process), process.env, seen).run(id))
      await world.advance(200)
      expect(late.last()).toMatchObject({ status: 'completed', output: 'now' })
    })

    test('what becomes of a run is shown also where the clock by which it goes on is behind', async () => {
      const { world, process, client } = await begin()
      let reads = 0
      const counting: Client = {
        ...client,
        getRun(runId: string) {
          reads++
          return client.getRun(runId) as never
        },
      }
      const { id } = await process.jobs.tires.trigger(null)
      await world.advance(6000)
      const run = watch(createObservers(counting, process.env, seen).run(id))
      await world.advance(1000)
      // Its progress was written after the last of its facts.
      expect(run.last()).toMatchObject({ status: 'running', progress: { current: 1 } })
      process.setAhead(-60_000)
      await world.advance(4000)
      expect(run.last()).toMatchObject({ status: 'waiting', run: { waitingFor: [{ name: 'go' }] } })
      // It is not asked for again and again.
      await world.advance(60_000)
      expect(reads).toBeLessThan(5)
    })

    test('a run that has ended is shown as it becomes when someone else retries it, and deletes it', async () => {
      const { world, process, observers } = await begin()
      isBroken = true
      const { id } = await process.jobs.flaky.trigger(null)
      await world.advance(1000)
      const run = watch(observers.run(id))
      await world.advance(1000)
      expect(run.last()).toMatchObject({ status: 'failed' })
      // What becomes of others is nothing to it.
      const { length } = run.states
      await process.jobs.add.trigger({ a: 1 })
      await world.advance(1000)
      expect(run.states.length).toBe(length)
      isBroken = false
      await process.durably.retry(id)
      await world.advance(1000)
      expect(run.last()).toMatchObject({ status: 'completed', output: 'printed', error: null })
      await process.durably.deleteRun(id)
      await world.advance(1000)
      expect(run.last()).toMatchObject({
        run: null,
        loadError: { message: `Run not found: ${id}` },
      })
    })

    test('a list is read page by page, and changes as runs do', async () => {
      const { world, process, observers } = await begin()
      const ids: string[] = []
      for (let a = 0; a < 5; a++) {
        ids.unshift((await world.until(process.jobs.add.triggerAndWait({ a }))).id)
      }
      const list = observers.runs({ jobName: 'add', pageSize: 2 })
      const shown = watch(list)
      const page = () => shown.last().runs.map(({ id }) => id)
      await world.advance(100)
      expect([page(), shown.last().hasMore, shown.last().page]).toEqual([ids.slice(0, 2), true, 0])
      list.nextPage()
      await world.advance(100)
      expect([page(), shown.last().page]).toEqual([ids.slice(2, 4), 1])
      list.nextPage()
      await world.advance(100)
      expect([page(), shown.last().hasMore]).toEqual([ids.slice(4), false])
      list.nextPage()
      list.prevPage()
      list.prevPage()
      await world.advance(100)
      expect(page()).toEqual(ids.slice(0, 2))
      const { id } = await process.jobs.add.trigger({ a: 9 })
      await world.advance(500)
      expect(shown.last().runs[0]).toMatchObject({ id, status: 'completed' })
    })

    test('a page is turned once for two clicks at once, and not where there was no answer', async () => {
      const { world, process, client } = await begin()
      const ids: string[] = []
      for (let a = 0; a < 6; a++) {
        ids.unshift((await world.until(process.jobs.add.triggerAndWait({ a }))).id)
      }
      let isAway = false
      const flickering: Client = {
        ...client,
        async getRuns(...filter: never[]) {
          if (isAway) throw new Error('away')
          return client.getRuns(...filter) as never
        },
      }
      const observers = createObservers(flickering, process.env, seen)
      const list = observers.runs({ jobName: 'add', pageSize: 2 })
      const shown = watch(list)
      const page = () => [shown.last().page, ...shown.last().runs.map(({ id }) => id)]
      await world.advance(100)
      list.nextPage()
      list.nextPage()
      await world.advance(100)
      expect(page()).toEqual([1, ...ids.slice(2, 4)])
      isAway = true
      for (const turn of [list.nextPage, list.prevPage]) {
        turn()
        await world.advance(100)
        expect(page()).toEqual([1, ...ids.slice(2, 4)])
        expect(shown.last()).toMatchObject({ error: { message: 'away' }, isLoading: false })
      }
      isAway = false
      list.nextPage()
      await world.advance(100)
      expect(page()).toEqual([2, ...ids.slice(4)])
      list.prevPage()
      list.prevPage()
      await world.advance(100)
      expect(page()).toEqual([0, ...ids.slice(0, 2)])
    })

    test('what has not changed is the same object', async () => {
      const { world, process, observers, id } = await beginWaiting()
      const done = await world.until(process.jobs.add.triggerAndWait({ a: 1 }))
      const list = watch(observers.runs())
      const run = watch(observers.run(id))
      await world.advance(1000)
      const [before, { logs, streams }] = [list.last(), run.last()]
      const { length } = list.states
      await world.advance(20_000)
      expect(list.states.length).toBe(length)
      expect(list.last()).toBe(before)
      await process.durably.signal(id, 'go', 'now')
      await world.advance(1000)
      expect(run.last()).toMatchObject({ status: 'completed' })
      expect(run.last().logs).toBe(logs)
      expect(run.last().streams).toBe(streams)
      const [changed, same] = [id, done.id].map((one) =>
        [before, list.last()].map(({ runs }) => runs.find((found) => found.id === one)),
      )
      expect(changed?.[0]).not.toBe(changed?.[1])
      expect(same?.[0]).toBe(same?.[1])
    })

    test('who wants more of a log than others follows it with them', async () => {
      const { world, process, client } = await begin()
      const { id } = await process.jobs.chatters.trigger(null)
      await world.advance(1000)
      let streams = 0
      const counting: Client = {
        ...client,
        subscribe(...args) {
          streams++
          return client.subscribe(...args)
        },
      }
      const observers = createObservers(counting, process.env, seen)
      const lines = (from: number, to: number) =>
        Array.from({ length: to - from }, (_, i) => `line ${from + i}`)
      const some = watch(observers.run(id))
      await world.advance(1000)
      const said = ({ last }: typeof some) => last().logs.map(({ message }) => message)
      expect(said(some)).toEqual(lines(500, 1500))
      const more = watch(observers.run(id, { maxLogs: 1501 }))
      await world.advance(1000)
      expect(said(more)).toEqual(lines(0, 1500))
      await process.durably.signal(id, 'go')
      await world.advance(1000)
      expect(said(more)).toEqual([...lines(0, 1500), 'that was all'])
      expect(streams).toBe(1)
    })

    test('a job is followed from the run that is triggered here, or by anyone', async () => {
      const { world, process, observers } = await begin()
      const observer = observers.job('waits')
      const shown = watch(observer)
      await world.advance(200)
      expect(shown.last()).toMatchObject({ currentRunId: null, status: null, isLoading: false })
      const run = await world.until(observer.trigger(null))
      await world.advance(200)
      expect(shown.last()).toMatchObject({ currentRunId: run.id, status: 'waiting' })
      const other = await process.jobs.waits.trigger(null)
      await world.advance(1000)
      expect(shown.last()).toMatchObject({ currentRunId: other.id, status: 'waiting' })
      observer.reset()
      await world.advance(100)
      expect(shown.last()).toMatchObject({ currentRunId: null, status: null })
    })

    test('a page that is opened again goes on with the run that has not ended', async () => {
      const { world, observers, id } = await beginWaiting()
      const resumed = watch(observers.job('waits'))
      const fresh = watch(observers.job('waits', { autoResume: false, followLatest: false }))
      const chosen = watch(observers.job('waits', { initialRunId: id, followLatest: false }))
      await world.advance(200)
      expect(resumed.last()).toMatchObject({ currentRunId: id, status: 'waiting' })
      expect(fresh.last()).toMatchObject({ currentRunId: null, status: null })
      expect(chosen.last()).toMatchObject({ currentRunId: id, status: 'waiting' })
    })

    test('while a run to go on with is looked for, nothing is known yet', async () => {
      const { world, observers, id } = await beginWaiting()
      const how = { followLatest: false }
      const resumed = watch(observers.job('waits', how))
      const none = watch(observers.job('add', how))
      const fresh = observers.job('waits', { ...how, autoResume: false })
      for (const { last } of [resumed, none]) {
        expect(last()).toMatchObject({ isLoading: true, isActive: false, currentRunId: null })
      }
      expect(fresh.initial).toMatchObject({ isLoading: false })
      await world.advance(200)
      expect(resumed.last()).toMatchObject({ isLoading: false, currentRunId: id, isActive: true })
      expect(none.last()).toMatchObject({ isLoading: false, currentRunId: null, loadError: null })
      // Nobody said meanwhile that there is none.
      const unknown = resumed.states.filter((state) => !state.isLoading && !state.isActive)
      expect(unknown).toEqual([])
    })

    test('a run to go on with is looked for until there is an answer', async () => {
      const { world, process, client, id } = await beginWaiting()
      let failure: Error | null = new Error('database is locked')
      const busy: Client = {
        ...client,
        async getRuns(...filter: never[]) {
          if (failure !== null) throw failure
          return client.getRuns(...filter) as never
        },
      }
      const observers = createObservers(busy, process.env, seen)
      const shown = watch(observers.job('waits', { followLatest: false }))
      await world.advance(3000)
      expect(shown.last()).toMatchObject({ isLoading: true, loadError: null })
      failure = null
      await world.advance(2000)
      expect(shown.last()).toMatchObject({ isLoading: false, currentRunId: id, isWaiting: true })
      failure = new DurablyError('forbidden', 'Not yours to see')
      const observer = observers.job('waits', { followLatest: false })
      const refused = watch(observer)
      await world.advance(200)
      expect(refused.last()).toMatchObject({ isLoading: false, loadError: failure })
      const next = await world.until(observer.trigger(null))
      await world.advance(200)
      expect(refused.last()).toMatchObject({ currentRunId: next.id, loadError: null })
    })

    test('the current run is the one that was triggered last, whichever is answered last', async () => {
      const { world, process, client } = await begin()
      const first = Promise.withResolvers<void>()
      const gates = [first.promise]
      const slow: Client = {
        ...client,
        getJob(name) {
          const handle = client.getJob(name)
          if (handle === undefined) return undefined
          const gate = gates.shift()
          const trigger = async (input: unknown) => {
            const run = await handle.trigger(input)
            await gate
            return run
          }
          return { ...handle, trigger }
        },
      }
      const how = { autoResume: false, followLatest: false }
      const observer = createObservers(slow, process.env, seen).job('waits', how)
      const shown = watch(observer)
      const one = observer.trigger(1)
      await world.settle()
      const two = await world.until(observer.trigger(2))
      first.resolve()
      await world.until(one)
      await world.advance(200)
      expect(shown.last()).toMatchObject({ currentRunId: two.id, status: 'waiting' })
    })

    /** A job whose triggers are sent when this says so, and answered when it says so. */
    async function beginSlowly(name: keyof typeof jobs, query: JobQuery = {}) {
      const { world, process, client } = await begin()
      const gates: { sent: Promise<void>; answered: Promise<void> }[] = []
      const slow: Client = {
        ...client,
        getJob(job) {
          const handle = client.getJob(job)
          const gate = gates.shift()
          if (handle === undefined || gate === undefined) return handle
          const trigger: typeof handle.trigger = async (...args) => {
            await gate.sent
            const run = await handle.trigger(...args)
            await gate.answered
            return run
          }
          return { ...handle, trigger }
        },
      }
      /** The next trigger goes out, and is answered, after these. */
      const slowDown = () => {
        const [sent, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
        gates.push({ sent: sent.promise, answered: answered.promise })
        return { send: sent.resolve, refuse: sent.reject, answer: answered.resolve }
      }
      const observer = createObservers(slow, process.env, seen).job(name, query)
      const shown = watch(observer)
      await world.advance(1000)
      return { world, process, observer, shown, slowDown }
    }

    const coming = { status: 'pending', isActive: true, isLoading: false, currentRunId: null }

    test('what is triggered is pending from then on', async () => {
      const { world, observer, shown, slowDown } = await beginSlowly('waits')
      const { send, answer } = slowDown()
      shown.states.length = 0
      const triggered = observer.trigger(null)
      await world.advance(500)
      expect(shown.last()).toMatchObject({ ...coming, run: null, isPending: true })
      send()
      answer()
      const { id } = await world.until(triggered)
      await world.advance(500)
      expect(shown.last()).toMatchObject({ status: 'waiting', currentRunId: id })
      // Nobody could have triggered it twice.
      expect(shown.states.filter(({ isActive }) => !isActive)).toEqual([])
    })

    test('what is refused is as it was before, and says why, whether anyone waits for it or not', async () => {
      const { world, observer, shown, slowDown } = await beginSlowly('add')
      await world.until(observer.trigger({ a: 1 }))
      await world.advance(500)
      const before = shown.last()
      expect(before).toMatchObject({ status: 'completed', output: 2, triggerError: null })
      const { refuse } = slowDown()
      void observer.trigger({ a: 2 })
      await world.advance(500)
      expect(shown.last()).toMatchObject({ ...coming, output: null })
      const triggerError = new Error('away')
      refuse(triggerError)
      await world.advance(500)
      expect(shown.last()).toEqual({ ...before, triggerError })
      // The next one may go well.
      const next = await world.until(observer.trigger({ a: 3 }))
      await world.advance(500)
      expect(shown.last()).toMatchObject({ currentRunId: next.id, output: 4, triggerError: null })
      void observer.trigger({ a: 'x' })
      await world.advance(500)
      expect(shown.last()).toMatchObject({ output: 4, triggerError: { code: 'validation' } })
      observer.reset()
      await world.advance(500)
      expect(shown.last()).toMatchObject({ status: null, triggerError: null })
    })

    test('a run that has not ended is shown until the next one is there', async () => {
      const { world, observer, shown, slowDown } = await beginSlowly('waits')
      const first = await world.until(observer.trigger(1))
      await world.advance(500)
      const { send, answer } = slowDown()
      const triggered = observer.trigger(2)
      await world.advance(500)
      expect(shown.last()).toMatchObject({ status: 'waiting', currentRunId: first.id })
      send()
      answer()
      const { id } = await world.until(triggered)
      await world.advance(500)
      expect(shown.last()).toMatchObject({ status: 'waiting', currentRunId: id })
    })

    test('a run that is over before its trigger is answered does not become pending again', async () => {
      const { world, observer, shown, slowDown } = await beginSlowly('add')
      const { send, answer } = slowDown()
      shown.states.length = 0
      const triggered = observer.trigger({ a: 1 })
      send()
      await world.advance(2000)
      expect(shown.last()).toMatchObject({ status: 'completed', output: 2 })
      answer()
      await world.until(triggered)
      await world.advance(500)
      const statuses = shown.states.map(({ status }) => status)
      expect(statuses.lastIndexOf('pending')).toBeLessThan(statuses.indexOf('completed'))
      expect(statuses).not.toContain(null)
    })

    test('of several triggers at once a run is pending until the last is answered, or until a reset', async () => {
      const { world, observer, shown, slowDown } = await beginSlowly('add', { followLatest: false })
      const [first, second, third] = [slowDown(), slowDown(), slowDown()]
      const one = observer.trigger({ a: 1 })
      void observer.trigger({ a: 2 })
      second.refuse(new Error('away'))
      await world.advance(500)
      expect(shown.last()).toMatchObject({ ...coming, triggerError: { message: 'away' } })
      first.send()
      first.answer()
      await world.until(one)
      await world.advance(500)
      expect(shown.last()).toMatchObject({ status: 'completed', output: 2 })
      const forgotten = observer.trigger({ a: 3 })
      observer.reset()
      await world.advance(500)
      expect(shown.last()).toMatchObject({ status: null, isActive: false })
      third.send()
      third.answer()
      await world.until(forgotten)
      await world.advance(500)
      expect(shown.last()).toMatchObject({ status: null, isActive: false, currentRunId: null })
    })

    test('what was there before is not what is triggered next', async () => {
      const { world, process, client, id } = await beginWaiting()
      let hint = (): void => {}
      const hinting: Client = {
        ...client,
        subscribeRuns: () =>
          new ReadableStream({
            start(controller) {
              hint = () => controller.enqueue({ type: 'run:changed', runId: null })
            },
          }),
      }
      const observers = createObservers(hinting, process.env, seen)
      const fresh = watch(observers.job('waits', { autoResume: false }))
      const observer = observers.job('waits')
      const shown = watch(observer)
      await world.advance(1000)
      expect(shown.last()).toMatchObject({ currentRunId: id })
      observer.reset()
      hint()
      await world.advance(1000)
      for (const { last } of [shown, fresh]) expect(last()).toMatchObject({ currentRunId: null })
      const next = await process.jobs.waits.trigger(null)
      hint()
      await world.advance(1000)
      for (const { last } of [shown, fresh]) expect(last()).toMatchObject({ currentRunId: next.id })
    })

    test('what was triggered while nobody could listen is found once somebody can', async () => {
      const { world, process, client } = await begin()
      let breakOff = (): void => {}
      const breaking: Client = {
        ...client,
        subscribeRuns(filter) {
          const reader = client.subscribeRuns(filter).getReader()
          return new ReadableStream({
            start(controller) {
              breakOff = () => {
                controller.error(new Error('broken'))
                void reader.cancel()
              }
            },
            async pull(controller) {
              const { value } = await reader.read()
              if (value !== undefined) controller.enqueue(value)
            },
            cancel: () => reader.cancel(),
          })
        },
      }
      const shown = watch(createObservers(breaking, process.env, seen).job('waits'))
      await world.advance(1000)
      breakOff()
      await world.settle()
      const { id } = await process.jobs.waits.trigger(null)
      await world.advance(1000)
      expect(shown.last()).toMatchObject({ currentRunId: null })
      await world.advance(10_000)
      expect(shown.last()).toMatchObject({ currentRunId: id, status: 'waiting' })
    })

    test('what is being looked for does not undo a reset', async () => {
      const { world, process, client } = await beginWaiting()
      const answer = Promise.withResolvers<void>()
      const slow: Client = {
        ...client,
        async getRuns(...filter: never[]) {
          await answer.promise
          return client.getRuns(...filter) as never
        },
      }
      const observer = createObservers(slow, process.env, seen).job('waits')
      const shown = watch(observer)
      await world.advance(100)
      observer.reset()
      answer.resolve()
      await world.advance(1000)
      expect(shown.last()).toMatchObject({ currentRunId: null })
    })

    test('a result is waited for as long as is said, of a run that is made if that can be understood', async () => {
      const { world, client, observers } = await begin()
      const observer = observers.job('waits')
      const late = world.until(observer.triggerAndWait(null, { timeout: '2s' }))
      await expect(late).rejects.toThrow(new TimeoutError('triggerAndWait timeout after 2000ms'))
      const odd = world.until(observer.triggerAndWait(null, { timeout: 'soon' as never }))
      await expect(odd).rejects.toThrow('timeout must be a duration')
      expect(await world.until(client.getRuns())).toHaveLength(1)
    })

    test('a job gives its result to whoever waits for it', async () => {
      const { world, observers } = await begin()
      const observer = observers.job('add')
      expect(await world.until(observer.triggerAndWait({ a: 1 }))).toMatchObject({ output: 2 })
      await expect(world.until(observer.trigger({ a: 'x' }))).rejects.toThrow('Invalid input')
      await expect(world.until(observers.job('none').trigger(null))).rejects.toThrow(
        'Job not found: none',
      )
    })
  })

  test('lists share a stream, which a page that nobody sees lets go', async () => {
    const world = await open()
    windDown(world)
    const process = await world.work(jobs)
    let streams = 0
    const client = overHttp(process, { onError: () => {} }, async (request, proceed) => {
      const response = await proceed()
      if (!request.url.includes('/runs/subscribe')) return response
      streams++
      request.signal.addEventListener('abort', () => void streams--)
      return response
    })
    let isVisible = true
    let onChange = (): void => {}
    const look = async (visible: boolean): Promise<void> => {
      isVisible = visible
      onChange()
      await world.advance(1000)
    }
    const observers = createObservers(client, process.env, {
      isVisible: () => isVisible,
      onChange(listener) {
        onChange = listener
        return () => {}
      },
    })
    const list = watch(observers.runs({ jobName: 'add' }))
    const all = watch(observers.runs())
    watch(observers.job('waits'))
    await world.advance(1000)
    expect(streams).toBe(1)
    await look(false)
    expect(streams).toBe(0)
    const { id } = await process.jobs.add.trigger({ a: 1 })
    await look(true)
    expect(streams).toBe(1)
    for (const { last } of [list, all]) expect(last().runs).toMatchObject([{ id }])
    const next = await process.jobs.add.trigger({ a: 2 })
    await world.advance(400)
    expect(list.last().runs[0]).toMatchObject({ id: next.id, status: 'completed' })
  })

  test('what never reached the server is not shown as done', async () => {
    const world = await open()
    windDown(world)
    const process = await world.work(jobs)
    let isAway = false
    const client = overHttp(process, {}, (request, proceed) =>
      isAway && !request.url.includes('subscribe')
        ? Promise.reject(new TypeError('fetch failed'))
        : proceed(),
    )
    const observers = createObservers(client, process.env, seen)
    const waiting = await process.jobs.waits.trigger(null)
    const failed = await process.jobs.fails.trigger(null)
    const runs = [watch(observers.run(waiting.id)), watch(observers.run(failed.id))]
    await world.advance(1000)
    isAway = true
    const { cancel, retry } = observers.actions()
    await expect(world.until(cancel(waiting.id))).rejects.toThrow('cannot be reached')
    await expect(world.until(retry(failed.id))).rejects.toThrow('cannot be reached')
    await world.advance(1000)
    expect(runs.map(({ last }) => last().status)).toEqual(['waiting', 'failed'])
    expect(runs[1]?.last()).toMatchObject({ error: 'out of ink' })
    isAway = false
    await world.advance(2000)
  })

  test('a page outlives its server', async () => {
    const world = await open()
    windDown(world)
    const process = await world.work(jobs)
    let isAway = true
    const client = overHttp(process, {}, (_, proceed) =>
      isAway ? Promise.reject(new TypeError('fetch failed')) : proceed(),
    )
    const observers: Observers = createObservers(client, process.env, seen)
    const { id } = await process.jobs.waits.trigger(null)
    const [run, list] = [watch(observers.run(id)), watch(observers.runs())]
    await world.advance(3000)
    expect(run.last()).toMatchObject({ isLoading: true, loadError: null })
    expect(list.last()).toMatchObject({ isLoading: false, error: { code: 'unavailable' } })
    isAway = false
    await world.advance(6000)
    expect(run.last()).toMatchObject({ status: 'waiting' })
    expect(list.last()).toMatchObject({ runs: [{ id }], error: null })
  })
})
