import { expect, test } from 'vitest'
import { hold, type Intercept, type Operation } from './wire.ts'
import { inMemory, job, onEveryBackend } from './world.ts'

// The database does not refuse, it says nothing: a connection is dead, or a machine hangs.

const TOO_LONG = 'The database has not answered in time'
const SENT_AGAIN = 'The database still has not answered'

/** Of `operations` (none given: of any) the first call, or each, is never answered. */
function silent(which: 'first' | 'each', ...operations: Operation[]): Intercept {
  const asked = new Set<Operation>()
  return async (operation, proceed) => {
    const isMeant = operations.length === 0 || operations.includes(operation)
    if (!isMeant || (which === 'first' && asked.has(operation))) return proceed()
    asked.add(operation)
    return new Promise(() => {})
  }
}

onEveryBackend((open) => {
  test('a trigger and a signal reject after 6 s, and it is said once for each write', async () => {
    const world = await open()
    const { durably, wire, takeErrors } = await world.join()
    const { job: handle } = durably.register({ job: job(() => 1) })
    const { id } = await handle.trigger('before')
    const write = hold((operation) => operation === 'write')
    wire.intercept(write.intercept)
    const triggered = handle.trigger('stalled').catch((error: unknown) => error)
    await write.reached
    const signalled = durably.signal(id, 'go').catch((error: unknown) => error)
    await world.advance(1000)
    const behind = handle.trigger('behind it').catch((error: unknown) => error)
    await world.advance(4999)
    expect(takeErrors()).toEqual([])
    await world.advance(1)
    const reason = { code: 'store', message: expect.stringContaining(TOO_LONG) as string }
    expect(await triggered).toMatchObject(reason)
    expect(await signalled).toMatchObject(reason)
    await world.advance(999)
    const waiting = Symbol('waiting')
    expect(await Promise.race([behind, Promise.resolve(waiting)])).toBe(waiting)
    await world.advance(1)
    expect(await behind).toMatchObject(reason)
    await world.advance(60_000)
    expect(takeErrors()).toMatchObject([
      { context: 'writing to the database', error: expect.stringContaining(TOO_LONG) as string },
      {
        context: 'writing to the database',
        error: expect.stringContaining(SENT_AGAIN) as string,
      },
    ])
    write.open()
    await world.settle()
    // What stood behind it was never sent.
    const payloads = (await durably.getRuns()).map(({ payload }) => payload)
    expect(payloads).toEqual(['stalled', 'before'])
    expect(await world.until(handle.trigger('after'))).toMatchObject({ disposition: 'created' })
  })

  test('its steps wait, and go on when it does', async () => {
    const world = await open()
    const { jobs, durably, wire, takeErrors } = await world.work({
      job: job((step) => step.run('step', () => 'stored')),
    })
    const write = hold((_, request) => JSON.stringify(request ?? null).includes('step:complete'))
    wire.intercept(write.intercept)
    const { id } = await jobs.job.trigger(null)
    await world.until(write.reached)
    await world.advance(15_000)
    expect(takeErrors()).toMatchObject([{ error: expect.stringContaining(TOO_LONG) as string }])
    write.open()
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 'stored' })
  })
  test('what was not answered is asked again, and nothing is done twice', async () => {
    const world = await open()
    const executed: string[] = []
    const goOn = Promise.withResolvers<void>()
    const { jobs, durably, wire, takeErrors } = await world.work({
      job: job(async (step, payload) => {
        if (payload === 'first') await goOn.promise
        return step.run('effect', () => executed.push(String(payload)))
      }),
    })
    const { id } = await jobs.job.trigger('first')
    await world.settle()
    wire.intercept(silent('first', 'write', 'look', 'renew', 'run'))
    goOn.resolve()
    await world.advance(20_000)
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ output: 1, attempt: 1 })
    const { output } = await world.until(jobs.job.triggerAndWait('second'))
    expect(output).toBe(2)
    const other = await world.join()
    const { job: elsewhere } = other.durably.register({ job: job(() => 1) })
    const third = await elsewhere.trigger('third')
    expect(await world.until(durably.waitForRun(third.id))).toMatchObject({ output: 3 })
    expect(executed).toEqual(['first', 'second', 'third'])
    const said = takeErrors().map(({ context, error }) => `${context}: ${error}`)
    expect(said).toContainEqual(expect.stringContaining(TOO_LONG))
    expect(said).toContainEqual(expect.stringContaining(SENT_AGAIN))
    expect(said.filter((text) => text.includes('blocks the event loop'))).toEqual([])
  })

  test('what is done long after it was given up ends no lease of whoever asked', async () => {
    const world = await open()
    const finish = Promise.withResolvers<void>()
    const definition = job((step) => step.run('effect', () => finish.promise))
    const { durably, wire, takeErrors } = await world.join({ workerName: 'server' })
    const handle = durably.register({ job: definition }).job
    let land: (() => Promise<unknown>) | null = null
    wire.intercept(async (operation, proceed) => {
      if (operation !== 'retire' || land !== null) return proceed()
      land = proceed
      return new Promise(() => {})
    })
    const begun = durably.init()
    const triggered = handle.trigger(null)
    await world.advance(15_000)
    await begun
    const { id } = await triggered
    const late = land as (() => Promise<unknown>) | null
    await late?.()
    await world.work({ job: definition })
    await world.advance(5000)
    finish.resolve()
    expect(await world.until(durably.waitForRun(id))).toMatchObject({ attempt: 1 })
    takeErrors()
  })

  test('a process that did nothing for some time hears first what was answered', async () => {
    const world = await open()
    const { durably, wire } = await world.join()
    const { job: handle } = durably.register({ job: job(() => 1) })
    const { id } = await handle.trigger(null)
    const read = hold((operation) => operation === 'run', 'after')
    wire.intercept(read.intercept)
    const asked = durably.getRun(id)
    await read.reached
    world.block(11_000)
    await world.advance(10)
    read.open()
    expect(await world.until(asked)).toMatchObject({ id })
  })

  test.each(['idle', 'busy'])('a worker stops nevertheless: %s', async (what) => {
    const world = await open()
    const { jobs, durably, wire, takeErrors } = await world.work({
      job: job((step) => step.run('long', () => new Promise(() => {}))),
    })
    if (what === 'busy') await jobs.job.trigger(null)
    await world.settle()
    wire.intercept(silent('each'))
    await world.advance(3000)
    const before = world.now()
    await world.until(durably.stop({ timeout: '1s' }))
    await world.until(durably.close())
    expect(world.now() - before).toBeLessThan(10_000)
    // Nothing of it is left for long.
    await world.advance(20_000)
    takeErrors()
  })
})

inMemory((open) => {
  test('old runs are deleted though the first purge is never answered', async () => {
    const world = await open()
    const { durably, wire, jobs, takeErrors } = await world.work(
      { job: job(() => 1) },
      { retainRuns: '1m' },
    )
    await world.until(jobs.job.triggerAndWait(null))
    wire.intercept(silent('first', 'purge'))
    await world.advance(5 * 60_000)
    expect(await durably.getRuns()).toEqual([])
    expect(takeErrors()).toMatchObject([{ error: expect.stringContaining('60 s') as string }])
  })

  test('a large batch has the time that it takes', async () => {
    const world = await open()
    const { durably, wire, takeErrors } = await world.join()
    const { job: handle } = durably.register({ job: job(() => 1) })
    const write = hold((operation) => operation === 'write')
    wire.intercept(write.intercept)
    const triggered = handle.batchTrigger(Array.from({ length: 6000 }, (_, i) => i))
    await write.reached
    await world.advance(5900)
    write.open()
    expect(await world.until(triggered)).toHaveLength(6000)
    expect(takeErrors()).toEqual([])
  })
})
