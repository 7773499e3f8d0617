import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { ValidationError } from '../../../src/core/error.ts'
import { defineJob } from '../../../src/core/job.ts'
import { wait } from '../../../src/core/wait.ts'
import { begin, MINUTE } from './waiting-run.ts'
import { hold } from './wire.ts'
import { job, onEveryBackend } from './world.ts'

onEveryBackend((open) => {
  test('a signal that comes while the past of a run is read is heard, though the run is busy then', async () => {
    const world = await open()
    const receivedAt: number[] = []
    const busy = job(async (step) => {
      await step.run('before', () => 1)
      await Promise.all([
        step.waitForSignal('go').then(() => receivedAt.push(world.now())),
        step.run('long', () => new Promise(() => {})),
      ])
    })
    const { crash, id } = await begin(world, busy)
    crash()
    const { durably, wire } = await world.join({ heartbeatInterval: '20s', staleThreshold: '60s' })
    durably.register({ job: busy })
    const reading = hold((operation) => operation === 'journal', 'after')
    wire.intercept(reading.intercept)
    await durably.init()
    await world.until(reading.reached)
    await durably.signal(id, 'go')
    const before = world.now()
    reading.open()
    await world.advance(50_000)
    expect(receivedAt).toHaveLength(1)
    expect((receivedAt[0] ?? 0) - before).toBeLessThan(100)
  })

  describe('waitForSignal', () => {
    test('gives what is sent later, or was sent before, first in first out, and each once', async () => {
      const world = await open()
      const taker = job(async (step) => {
        const values: unknown[] = []
        for (let i = 0; i < 3; i++) {
          values.push((await step.waitAny(`take ${i}`, { it: wait.signal('go') })).value)
        }
        return values
      })
      const process = await world.join()
      const jobs = process.durably.register({ taker })
      await process.durably.migrate()
      const { id } = await world.until(jobs.taker.trigger(null))
      await world.until(process.durably.signal(id, 'other', 0))
      await world.until(process.durably.signal(id, 'go', { n: 1 }))
      await world.until(process.durably.signal(id, 'go', new Date(2)))
      const { durably } = await world.work({ taker })
      await world.advance(100)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'waiting',
        waitingFor: [{ kind: 'signal', name: 'go', until: null }],
      })
      await world.until(durably.signal(id, 'go'))
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'completed',
        output: [{ n: 1 }, new Date(2), undefined],
      })
    })

    test('gives null after its timeout', async () => {
      const world = await open()
      const { durably, id } = await begin(
        world,
        job((step) => step.waitForSignal('go', { timeout: '1m' })),
      )
      expect(await durably.getRun(id)).toMatchObject({
        waitingFor: [{ kind: 'signal', name: 'go', until: '2027-01-01T00:01:00.000Z' }],
      })
      await world.advance(MINUTE + 100)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: null })
    })

    test('prefers a signal that was sent in time to the timeout that passed while nobody worked', async () => {
      const world = await open()
      const taker = job((step) => step.waitForSignal('go', { timeout: '1m' }))
      const first = await begin(world, taker)
      first.crash()
      const client = await world.join()
      await world.until(client.durably.signal(first.id, 'go', 'in time'))
      await world.advance(2 * MINUTE)
      const { durably } = await world.work({ job: taker })
      await world.advance(1100)
      expect(await durably.getRun(first.id)).toMatchObject({ output: 'in time' })
    })

    test('takes a signal sent twice with one id once', async () => {
      const world = await open()
      const { durably, id } = await begin(
        world,
        job(async (step) => [
          await step.waitForSignal('go'),
          await step.waitAny('again', { go: wait.signal('go'), late: wait.for(500) }),
        ]),
      )
      await world.until(durably.signal(id, 'go', 1, { id: 'x' }))
      await world.until(durably.signal(id, 'go', 2, { id: 'x' }))
      await world.advance(1000)
      expect(await durably.getRun(id)).toMatchObject({ output: [1, { key: 'late', value: null }] })
    })

    test('checks data that its schema does not want when it is taken; the failure is recorded', async () => {
      const world = await open()
      let executions = 0
      const taker = job(async (step) => {
        executions++
        const error = await step
          .waitForSignal('go', { schema: z.number() })
          .catch((thrown: unknown) => thrown)
        await step.sleep('pause', '1m')
        return error instanceof ValidationError && error.message.split(':')[0]
      })
      const { durably, id, crash } = await begin(world, taker)
      await world.until(durably.signal(id, 'go', 'one'))
      await world.advance(60)
      crash()
      const other = await world.work({ job: taker })
      await world.advance(MINUTE + 1100)
      expect(await other.durably.getRun(id)).toMatchObject({ output: 'Invalid signal "go"' })
      expect(executions).toBe(2)
    })

    test('wakes a run that another process works on', async () => {
      const world = await open()
      const { durably, id } = await begin(
        world,
        job((step) => step.waitForSignal('go')),
      )
      const client = await world.join()
      await world.until(client.durably.signal(id, 'go', 7))
      await world.advance(1100)
      expect(await durably.getRun(id)).toMatchObject({ status: 'completed', output: 7 })
    })

    test('reaches a run whose step executes elsewhere, without a park', async () => {
      const world = await open()
      const release = Promise.withResolvers<void>()
      const taker = job((step) =>
        Promise.all([step.waitForSignal('go'), step.run('work', () => release.promise)]),
      )
      const { durably, id, events } = await begin(world, taker)
      const client = await world.join()
      await world.until(client.durably.signal(id, 'go', 7))
      // The net beneath all wake-ups: the holder hears of it with its renewal.
      await world.advance(5100)
      release.resolve()
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({
        status: 'completed',
        output: [7, undefined],
      })
      expect(events.some(({ type }) => type === 'run:wait')).toBe(false)
    })

    test('is refused for a run that is unknown or has ended', async () => {
      const world = await open()
      const { jobs, durably } = await world.work({ job: job(() => 1) })
      const { id } = await world.until(jobs.job.triggerAndWait(null))
      await expect(world.until(durably.signal(id, 'go'))).rejects.toThrow(
        `Cannot signal completed run: ${id}`,
      )
      await expect(world.until(durably.signal('nobody', 'go'))).rejects.toThrow(
        'Run not found: nobody',
      )
    })

    test('of a job that declares its signals tells the sender what is wrong', async () => {
      const world = await open()
      const typed = defineJob({
        name: 'typed',
        input: z.unknown(),
        signals: { approval: z.object({ ok: z.boolean().default(true) }) },
        run: async (step) => (await step.waitForSignal('approval')).ok,
      })
      const { durably, id } = await begin(world, typed)
      await expect(world.until(durably.signal(id, 'approval', { ok: 3 }))).rejects.toThrow(
        /^Invalid signal "approval": ok: /,
      )
      await expect(world.until(durably.signal(id, 'aproval', {}))).rejects.toThrow(
        "takes no signal 'aproval'; it declares approval",
      )
      await world.until(durably.signal(id, 'approval', {}))
      await world.advance(60)
      expect(await durably.getRun(id)).toMatchObject({ output: true })
    })
  })
})
