import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  CancelledError,
  ConflictError,
  NotFoundError,
  RunFailedError,
  TimeoutError,
  ValidationError,
} from '../../src/core/error.ts'
import type { RunChange } from '../../src/core/event.ts'
import { defineJob } from '../../src/core/job.ts'
import type { Client } from '../../src/client/client.ts'
import { richCodec } from '../../src/core/codec.ts'
import { isTick } from '../../src/core/tick.ts'
import { readAll } from '../conformance/api/read-all.ts'
import { job, onEveryBackend, type World } from '../conformance/api/world.ts'
import { implementations } from './clients.ts'

const rich = {
  date: new Date('2026-01-02T03:04:05Z'),
  map: new Map([['a', 1n]]),
  none: undefined,
  nan: Number.NaN,
}

const echo = defineJob({
  name: 'echo',
  input: z.unknown(),
  async run(step, payload) {
    const value = await step.run('keep', () => payload)
    step.log.info('kept', payload)
    return value
  },
})

const add = defineJob({
  name: 'add-numbers',
  input: z.object({ a: z.number(), b: z.number().default(1) }),
  run: (_step, { a, b }) => a + b,
})

const fails = job(async (step) => {
  await step.run('breaks', () => {
    throw new TypeError('out of ink')
  })
}, 'fails')

const waits = job(async (step) => step.waitForSignal('go'), 'waits')

const jobs = { echo, add, fails, waits }

onEveryBackend((open) => {
  describe.each(implementations)('$name', ({ connect }) => {
    async function begin() {
      const world = await open()
      const process = await world.work(jobs)
      return { world, process, client: connect(process) }
    }

    /** A run that waits for a signal, and has come to where it does. */
    async function beginWaiting() {
      const { world, process, client } = await begin()
      const run = await world.until(client.jobs.waits.trigger(null))
      await world.advance(60)
      return { world, process, client, id: run.id }
    }

    const ended = async (world: World, id: string, client: Pick<Client, 'waitForRun'>) => {
      await world.until(client.waitForRun(id).catch(() => {}))
      return id
    }

    test('a run whose values cannot be read keeps no list from being read', async () => {
      const world = await open()
      const process = await world.work(jobs, { codec: { ...richCodec } })
      const bad = await process.jobs.echo.triggerAndWait('bad')
      const good = await process.jobs.echo.triggerAndWait('good')
      const decode = (text: string): unknown => {
        if (text.includes('bad')) throw new Error('the key of tenant 7 is gone')
        return richCodec.decode(text)
      }
      const other = await world.join({ codec: { ...richCodec, decode } })
      other.durably.register(jobs)
      const client = connect({ ...other, jobs: process.jobs })
      const unreadable = (what: string): unknown =>
        expect.objectContaining({
          code: 'unreadable',
          message: `Cannot read the ${what} of run ${bad.id}: it is not what was written, or not by this codec`,
          stack: '',
        })
      expect(await world.until(client.getRuns())).toMatchObject([
        { id: good.id, payload: 'good', output: 'good' },
        { id: bad.id, payload: unreadable('payload'), output: unreadable('output') },
      ])
      const failure = world.until(client.getRun(bad.id)).catch((error: unknown) => error)
      expect(await failure).toMatchObject({ name: 'DurablyError', code: 'unreadable' })
    })

    test('triggers a job under its key and under its name', async () => {
      const { world, client } = await begin()
      const byKey = await world.until(client.jobs.add.trigger({ a: 1 }, { priority: 3 }))
      expect(byKey).toMatchObject({
        jobName: 'add-numbers',
        payload: { a: 1, b: 1 },
        disposition: 'created',
        priority: 3,
      })
      const handle = client.getJob('add-numbers') ?? client.jobs.echo
      const options = { idempotencyKey: 'k', labels: { team: 'x' } }
      const first = await world.until(handle.trigger({ a: 2 }, options))
      const again = await world.until(handle.trigger({ a: 3 }, options))
      expect(again).toMatchObject({
        id: first.id,
        disposition: 'idempotent',
        labels: { team: 'x' },
      })
      await ended(world, first.id, client)
      expect(await world.until(handle.getRun(first.id))).toMatchObject({ output: 3 })
      expect(await world.until(client.jobs.add.getRun(first.id))).toMatchObject({ output: 3 })
      expect(await world.until(client.jobs.echo.getRun(first.id))).toBeNull()
      const found = await world.until(client.jobs.add.getRuns({ labels: { team: 'x' } }))
      expect(found.map(({ id }) => id)).toEqual([first.id])
    })

    test('refuses a bad input as the server does', async () => {
      const { world, client } = await begin()
      const refused = world.until(client.jobs.add.trigger({ a: 'one' as never }))
      await expect(refused).rejects.toThrow(ValidationError)
      await expect(refused).rejects.toMatchObject({
        code: 'validation',
        message: expect.stringMatching(/^Invalid input: /) as string,
        issues: [{ path: ['a'] }],
      })
      const unknown = world.until(client.jobs.add.trigger({ a: 1 }, { colour: 'red' } as never))
      await expect(unknown).rejects.toThrow('unknown option "colour"')
    })

    test('runs at a time that is given', async () => {
      const { world, client } = await begin()
      const runAt = new Date(world.now() + 5000)
      const { id } = await world.until(client.jobs.add.trigger({ a: 1 }, { runAt }))
      await world.advance(4900)
      expect(await world.until(client.getRun(id))).toMatchObject({ status: 'pending' })
      await world.advance(200)
      expect(await world.until(client.getRun(id))).toMatchObject({ status: 'completed' })
    })

    test('waits for a result', async () => {
      const { world, client } = await begin()
      const answer = await world.until(client.jobs.add.triggerAndWait({ a: 1, b: 2 }))
      expect(answer).toEqual({
        id: expect.any(String) as string,
        output: 3,
        disposition: 'created',
      })
      const failing = await world.until(client.jobs.fails.trigger(null))
      const failure = world.until(client.waitForRun(failing.id))
      await expect(failure).rejects.toThrow(RunFailedError)
      await expect(failure).rejects.toMatchObject({
        message: 'out of ink',
        runId: failing.id,
        detail: { name: 'TypeError', step: 'breaks' },
      })
      await expect(world.until(client.waitForRun('nobody'))).rejects.toThrow(
        new NotFoundError('Run not found: nobody'),
      )
    })

    test('waits no longer than it may', async () => {
      const { world, client, id } = await beginWaiting()
      await expect(world.until(client.waitForRun(id, { timeout: '1s' }))).rejects.toThrow(
        new TimeoutError(`waitForRun timeout after 1000ms; run ${id} goes on`),
      )
      const timed = world.until(client.jobs.waits.triggerAndWait(null, { timeout: 500 }))
      await expect(timed).rejects.toThrow(new TimeoutError('triggerAndWait timeout after 500ms'))
      const stop = new AbortController()
      const waiting = world.until(client.waitForRun(id, { signal: stop.signal }))
      stop.abort(new Error('enough'))
      await expect(waiting).rejects.toThrow('enough')
      const cancelled = world.until(client.waitForRun(id))
      cancelled.catch(() => {})
      await world.until(client.cancel(id))
      await expect(cancelled).rejects.toThrow(CancelledError)
    })

    test('carries values that JSON does not', async () => {
      const { world, client } = await begin()
      const { id, output } = await world.until(client.jobs.echo.triggerAndWait(rich))
      expect(output).toEqual(rich)
      expect(await world.until(client.getRun(id))).toMatchObject({ payload: rich, output: rich })
      expect(await world.until(client.getSteps(id))).toMatchObject([{ name: 'keep', output: rich }])
      expect(await world.until(client.getLogs(id))).toMatchObject([{ message: 'kept', data: rich }])
      const events = await world.until(readAll(client.subscribe(id)))
      expect(events.find(({ type }) => type === 'run:complete')).toMatchObject({ output: rich })
    })

    test('reads runs, newest first, by what they are asked for', async () => {
      const { world, client } = await begin()
      const ids: string[] = []
      for (const a of [1, 2, 3, 4, 5]) {
        const labels = { parity: a % 2 === 0 ? 'even' : 'odd' }
        const run = await world.until(client.jobs.add.triggerAndWait({ a }, { labels }))
        ids.unshift(run.id)
      }
      const failed = await world.until(client.jobs.fails.trigger(null))
      await ended(world, failed.id, client)
      const read = async (filter?: Parameters<typeof client.getRuns>[0]) =>
        (await world.until(client.getRuns(filter))).map(({ id }) => id)
      expect(await read()).toEqual([failed.id, ...ids])
      expect(await read({ jobName: 'add-numbers', limit: 2 })).toEqual(ids.slice(0, 2))
      expect(await read({ jobName: 'add-numbers', limit: 2, offset: 1 })).toEqual(ids.slice(1, 3))
      expect(await read({ cursor: ids[2], limit: 10 })).toEqual(ids.slice(3))
      expect(await read({ labels: { parity: 'even' } })).toEqual([ids[1], ids[3]])
      expect(await read({ status: ['failed', 'cancelled'] })).toEqual([failed.id])
      expect(await read({ status: 'running' })).toEqual([])
      const bad = world.until(client.getRuns({ status: 'done' as 'failed' }))
      await expect(bad).rejects.toThrow('status must be one of')
    })

    test('refuses a filter or a page that says nothing, and finds nothing for a limit of nothing', async () => {
      const { world, client } = await begin()
      const { id } = await world.until(client.jobs.echo.triggerAndWait(null))
      for (const limit of [-1, Number.NaN, 2.5, null as never]) {
        const message = `limit must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}; got ${limit}`
        await expect(world.until(client.getRuns({ limit }))).rejects.toThrow(
          new ValidationError(message),
        )
        await expect(world.until(client.getLogs(id, { limit }))).rejects.toThrow(
          new ValidationError(message),
        )
      }
      await expect(world.until(client.getLogs(id, { after: -1 }))).rejects.toThrow(
        'after must be a whole number',
      )
      await expect(world.until(client.getRuns({ stauts: 'failed' } as never))).rejects.toThrow(
        'unknown filter "stauts"; the filters are jobName, status, labels, limit, offset, cursor',
      )
      const typo = () => client.subscribeRuns({ jobname: 'echo' } as never)
      expect(typo).toThrow('unknown filter "jobname"; the filters are jobName, labels')
      for (const from of [client, client.jobs.echo]) {
        await expect(world.until(from.getRuns(null as never))).rejects.toThrow(
          new ValidationError('filter must be an object; got null'),
        )
      }
      expect(await world.until(client.getRuns({ limit: 0 }))).toEqual([])
      expect(await world.until(client.getLogs(id, { limit: 0 }))).toEqual([])
    })

    test('refuses an option that it does not know: misspelt, it would do nothing', async () => {
      const { world, client, id } = await beginWaiting()
      const said = (promise: Promise<unknown>) =>
        world.until(promise).catch((error: unknown) => error)
      expect(await said(client.waitForRun(id, { timout: '1s' } as never))).toEqual(
        new ValidationError('unknown option "timout"; the options are timeout, signal'),
      )
      expect(await said(client.signal(id, 'go', null, { ID: 'once' } as never))).toEqual(
        new ValidationError('unknown option "ID"; the options are id'),
      )
      expect(await said(client.getLogs(id, { from: 7 } as never))).toEqual(
        new ValidationError('unknown option "from"; the options are after, limit'),
      )
      expect(() => client.subscribe(id, { from: 7 } as never)).toThrow(
        new ValidationError('unknown option "from"; the options are after'),
      )
    })

    test('does not take a label without a value for no label: that would be the runs of everyone', async () => {
      const { world, client } = await begin()
      await world.until(client.jobs.echo.triggerAndWait(null, { labels: { tenant: 'other' } }))
      const bad = [
        [{ tenant: undefined }, 'label "tenant" must be a string; got undefined'],
        [{ tenant: null }, 'label "tenant" must be a string; got null'],
        [{ tenant: '' }, 'label "tenant" must not be empty'],
        ['other', "labels must be an object of strings; got 'other'"],
      ] as const
      for (const [labels, message] of bad) {
        const filter = { labels: labels as never }
        await expect(world.until(client.getRuns(filter))).rejects.toThrow(
          new ValidationError(message),
        )
        await expect(world.until(client.jobs.echo.getRuns(filter))).rejects.toThrow(message)
        expect(() => client.subscribeRuns(filter)).toThrow(new ValidationError(message))
      }
    })

    test('knows nothing of runs that do not exist', async () => {
      const { world, client } = await begin()
      expect(await world.until(client.getRun('nobody'))).toBeNull()
      expect(await world.until(client.getSteps('nobody'))).toEqual([])
      expect(await world.until(client.getLogs('nobody'))).toEqual([])
      await expect(world.until(client.cancel('nobody'))).rejects.toThrow(NotFoundError)
      await expect(world.until(readAll(client.subscribe('nobody')))).rejects.toThrow(
        new NotFoundError('Run not found: nobody'),
      )
    })

    test('reads lines of a log after a position', async () => {
      const world = await open()
      const process = await world.work({
        talks: job((step) => {
          for (const line of ['one', 'two', 'three']) step.log.warn(line)
        }, 'talks'),
      })
      const client = connect(process)
      const { id } = await world.until(client.jobs.talks.triggerAndWait(null))
      const all = await world.until(client.getLogs(id))
      expect(all.map(({ message }) => message)).toEqual(['one', 'two', 'three'])
      const after = await world.until(client.getLogs(id, { after: all[0]?.sequence, limit: 1 }))
      expect(after).toEqual([all[1]])
    })

    test('acts on runs, and is refused what their status forbids', async () => {
      const { world, client, id } = await beginWaiting()
      await expect(world.until(client.retry(id))).rejects.toThrow(
        new ConflictError(`Cannot retry waiting run: ${id}`),
      )
      await world.until(client.cancel(id))
      expect(await world.until(client.getRun(id))).toMatchObject({ status: 'cancelled' })
      await world.until(client.retry(id))
      await world.advance(60)
      await world.until(client.signal(id, 'go', rich, { id: 'once' }))
      expect((await world.until(client.waitForRun(id))).output).toEqual(rich)
      const again = await world.until(client.retrigger(id))
      expect(again).toMatchObject({ jobName: 'waits', payload: null })
      expect(again.id).not.toBe(id)
      await world.until(client.deleteRun(id))
      expect(await world.until(client.getRun(id))).toBeNull()
      await expect(world.until(client.deleteRun(again.id))).rejects.toThrow(ConflictError)
    })

    test('completes a token', async () => {
      const world = await open()
      const made = Promise.withResolvers<string>()
      const process = await world.work({
        asks: job(async (step) => {
          const token = await step.token('approval')
          await step.run('mail', () => made.resolve(token))
          return step.waitForToken('approved', token)
        }, 'asks'),
      })
      const client = connect(process)
      const { id } = await world.until(client.jobs.asks.trigger(null))
      const token = await world.until(made.promise)
      await world.until(client.completeToken(token, { by: 'Ada' }))
      expect((await world.until(client.waitForRun(id))).output).toEqual({ by: 'Ada' })
      await expect(world.until(client.completeToken(token))).rejects.toThrow(ConflictError)
      await expect(world.until(client.completeToken('a/guess?'))).rejects.toThrow(NotFoundError)
    })

    test('follows a run from a position to its end', async () => {
      const { world, client, id } = await beginWaiting()
      const all = readAll(client.subscribe(id))
      const late = readAll(client.subscribe(id, { after: 3 }))
      await world.settle()
      await world.until(client.signal(id, 'go'))
      const facts = (await world.until(all)).filter((event) => !isTick(event))
      expect(facts.map(({ type, sequence }) => [type, sequence])).toEqual([
        ['run:trigger', 1],
        ['run:start', 2],
        ['step:wait', 3],
        ['run:wait', 4],
        ['run:wake', 5],
        ['run:start', 6],
        ['step:complete', 7],
        ['run:complete', 8],
      ])
      const rest = (await world.until(late)).filter((event) => !isTick(event))
      expect(rest).toEqual(facts.slice(3))
      expect(await world.until(readAll(client.subscribe(id, { after: 8 })))).toEqual([])
    })

    test('a subscription that is cancelled leaves nothing behind', async () => {
      const { world, process, client, id } = await beginWaiting()
      const before = process.env.timers()
      const events = client.subscribe(id).getReader()
      const readers = [events, client.subscribeRuns().getReader()]
      // All there is to read; the next one waits.
      for (let i = 0; i < 4; i++) await world.until(events.read())
      for (const reader of readers) void reader.read()
      await world.settle()
      expect(process.env.timers()).toBeGreaterThan(before)
      for (const reader of readers) await reader.cancel()
      await world.settle()
      expect(process.env.timers()).toBe(before)
    })

    test('hears what happens to runs, here and elsewhere', async () => {
      const { world, client } = await begin()
      const heard: RunChange[] = []
      const reader = client
        .subscribeRuns({ jobName: 'add-numbers', labels: { a: 'b' } })
        .getReader()
      const listening = (async () => {
        while (true) {
          const { done, value } = await reader.read()
          if (done) return
          heard.push(value)
        }
      })()
      await world.settle()
      await world.until(client.jobs.add.triggerAndWait({ a: 1 }, { labels: { a: 'b' } }))
      await world.until(client.jobs.add.triggerAndWait({ a: 1 }))
      await world.until(client.jobs.echo.triggerAndWait(null, { labels: { a: 'b' } }))
      await world.settle()
      const events = heard.filter(({ type }) => type !== 'run:changed')
      expect(events.map(({ type }) => type)).toEqual(['run:trigger', 'run:start', 'run:complete'])
      await reader.cancel()
      await listening
    })
  })
})
