import { expect, test } from 'vitest'
import { ValidationError } from '../../../src/core/error.ts'
import { readAll } from './read-all.ts'
import { job, onEveryBackend } from './world.ts'

const nothing = job(() => {}, 'nothing')

onEveryBackend((open) => {
  test('init migrates and starts, once, however often and however concurrently it is called', async () => {
    const world = await open()
    const { durably, wire } = await world.join()
    const { nothing: handle } = durably.register({ nothing })
    await Promise.all([durably.init(), durably.init(), durably.init()])
    await durably.init()
    await durably.migrate()
    await handle.triggerAndWait(null)
    expect(wire.calls.get('migrate')).toBe(1)
  })

  test('a migration that failed is tried again', async () => {
    const world = await open()
    const { durably, wire } = await world.join()
    wire.intercept(() => Promise.reject(new Error('away')))
    await expect(durably.init()).rejects.toThrow('away')
    wire.intercept(null)
    await durably.init()
    const { nothing: handle } = durably.register({ nothing })
    expect(await handle.triggerAndWait(null)).toMatchObject({ disposition: 'created' })
  })

  test('several processes may init at once', async () => {
    const world = await open()
    const processes = [await world.join(), await world.join(), await world.join()]
    await world.until(Promise.all(processes.map(({ durably }) => durably.init())))
  })

  test('who never starts executes nothing, and can do all the rest', async () => {
    const world = await open()
    const client = await world.join()
    const { nothing: handle } = client.durably.register({ nothing })
    const { id } = await handle.trigger(null)
    await world.advance(60_000)
    expect(await client.durably.getRun(id)).toMatchObject({ status: 'pending' })
    await world.work({ nothing })
    expect(await world.until(client.durably.waitForRun(id))).toMatchObject({ status: 'completed' })
  })

  test('start begins at once with what waits there', async () => {
    const world = await open()
    const { durably } = await world.join()
    const { nothing: handle } = durably.register({ nothing })
    const { id } = await handle.trigger(null)
    const before = world.now()
    durably.start()
    await durably.waitForRun(id)
    expect(world.now()).toBe(before)
  })

  test('a job that is registered while the worker works is claimed at once', async () => {
    const world = await open()
    const client = await world.join()
    const { nothing: handle } = client.durably.register({ nothing })
    const { id } = await handle.trigger(null)
    const { durably } = await world.work({})
    await world.advance(5000)
    const before = world.now()
    durably.register({ nothing })
    await durably.waitForRun(id)
    expect(world.now()).toBe(before)
  })

  test('starting a worker that works changes nothing', async () => {
    const world = await open()
    const { durably, wire } = await world.work({ nothing })
    await world.advance(1)
    const looks = async (): Promise<number> => {
      const before = wire.calls.get('look') ?? 0
      await world.advance(10_000)
      return (wire.calls.get('look') ?? 0) - before
    }
    const alone = await looks()
    for (let i = 0; i < 5; i++) durably.start()
    expect(await looks()).toBeLessThanOrEqual(alone + 1)
  })

  test('an idle worker looks once a poll and writes nothing', async () => {
    const world = await open()
    const { wire } = await world.work({ nothing })
    await world.advance(1)
    const before = new Map(wire.calls)
    await world.advance(30_000)
    const count = (operation: 'look' | 'write' | 'renew'): number =>
      (wire.calls.get(operation) ?? 0) - (before.get(operation) ?? 0)
    expect(count('look')).toBeLessThanOrEqual(31)
    expect(count('write')).toBe(0)
    expect(count('renew')).toBeLessThanOrEqual(1)
  })

  test('close stops and releases everything, and may be called again', async () => {
    const world = await open()
    const { durably, env, jobs } = await world.work({ nothing })
    await jobs.nothing.triggerAndWait(null)
    await world.until(durably.close())
    expect(env.timers()).toBe(0)
    await world.until(durably.close())
  })

  test('close ends what is being followed and waited for, and refuses whatever comes after', async () => {
    const world = await open()
    const { durably, jobs } = await world.work({ job: job((step) => step.waitForSignal('go')) })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    const closed = { code: 'closed', message: expect.stringContaining('closed') as string }
    const ended = Promise.allSettled([
      readAll(durably.subscribe(id)),
      readAll(durably.subscribeRuns()),
      durably.waitForRun(id),
      jobs.job.triggerAndWait(null),
    ])
    await world.settle()
    await world.until(durably.close())
    const at = world.now()
    for (const one of await world.until(ended)) {
      expect(one).toMatchObject({ status: 'rejected', reason: closed })
    }
    const calls: (() => unknown)[] = [
      () => jobs.job.trigger(null),
      () => durably.getRun(id),
      () => durably.waitForRun(id),
      () => readAll(durably.subscribe(id)),
      () => readAll(durably.subscribeRuns()),
      () => durably.cancel(id),
      () => durably.signal(id, 'go'),
      () => durably.processUntilIdle(),
      () => durably.init(),
      () => durably.migrate(),
      () => durably.start(),
    ]
    for (const call of calls) {
      await expect(world.until((async () => call())())).rejects.toMatchObject(closed)
    }
    expect(world.now()).toBe(at)
    await world.until(durably.close())
  })

  test('await using closes', async () => {
    const world = await open()
    const { durably, env } = await world.work({ nothing })
    const scope = async (): Promise<void> => {
      await using instance = durably
      expect(instance.getJob('nothing')?.name).toBe('nothing')
    }
    await world.until(scope())
    expect(env.timers()).toBe(0)
  })

  test('register gives handles under the keys given, and fills durably.jobs with the same', async () => {
    const world = await open()
    const { durably } = await world.join()
    const handles = durably.register({ first: nothing, second: job(() => 2, 'two') })
    expect(Object.keys(handles)).toEqual(['first', 'second'])
    expect(Object.getPrototypeOf(handles)).toBe(Object.prototype)
    const jobs = durably.jobs as typeof handles
    expect(jobs.first).toBe(handles.first)
    expect(durably.getJob('two')).toBe(handles.second)
    expect(durably.getJob('second')).toBeUndefined()
    expect([handles.first.name, handles.second.name]).toEqual(['nothing', 'two'])
  })

  test('registering the same definition again gives the same handle', async () => {
    const world = await open()
    const { durably } = await world.join()
    const { a } = durably.register({ a: nothing })
    const { b } = durably.register({ b: nothing })
    expect(b).toBe(a)
    const both = durably.register({ c: nothing, d: nothing })
    expect([both.c, both.d]).toEqual([a, a])
  })

  test('another definition under a registered name is refused, and nothing of that call registered', async () => {
    const world = await open()
    const { durably } = await world.join({ jobs: { nothing } })
    const refusal = new ValidationError(
      'Job "nothing" is already registered with a different definition',
    )
    const other = job(() => 1, 'other')
    expect(() => durably.register({ other, nothing: job(() => 1, 'nothing') })).toThrow(refusal)
    expect(() => durably.register({ x: job(() => 1, 'x'), y: job(() => 2, 'x') })).toThrow(
      'Job "x" is already registered with a different definition',
    )
    expect(durably.getJob('other')).toBeUndefined()
    expect(durably.getJob('x')).toBeUndefined()
  })

  test('another job under a key that is taken is refused: whoever has that would trigger it', async () => {
    const world = await open()
    const { durably } = await world.join({ jobs: { pay: nothing } })
    const mail = job(() => 1, 'mail')
    expect(() => durably.register({ mail, pay: mail })).toThrow(
      'register: "pay" is job "nothing" in durably.jobs already; give job "mail" another key',
    )
    expect(durably.getJob('mail')).toBeUndefined()
    expect(durably.jobs).toEqual({ pay: durably.getJob('nothing') })
  })

  test('what is no job is refused', async () => {
    const world = await open()
    const { durably } = await world.join()
    const register = durably.register as (jobs: Record<string, unknown>) => unknown
    expect(() => register({ bad: { name: 'bad' } })).toThrow(
      new ValidationError('register: "bad" is not a job; make it with defineJob'),
    )
    expect(() => register({ bad: undefined })).toThrow(ValidationError)
  })

  test('the option jobs registers at creation', async () => {
    const world = await open()
    const { durably } = await world.join({ jobs: { nothing } })
    expect(durably.getJob('nothing')).toBeDefined()
    expect(durably.register({ nothing }).nothing).toBe(durably.getJob('nothing'))
  })
})
