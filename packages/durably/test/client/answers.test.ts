import { expect, onTestFinished, test } from 'vitest'
import type { Client } from '../../src/client/client.ts'
import { createHttpClient } from '../../src/client/http-client.ts'
import { createObservers } from '../../src/client/observers.ts'
import { DurablyError, TimeoutError } from '../../src/core/error.ts'
import { isTick } from '../../src/core/tick.ts'
import { readAll } from '../conformance/api/read-all.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'
import { BASE, handlerOf, overHttp, type Network } from './clients.ts'

const waits = job((step) => step.waitForSignal('go'), 'waits')

const seen = { isVisible: () => true, onChange: () => () => {} }

/** A run that waits, and a client over this network. */
async function begin(world: World, network: Network) {
  const process = await world.work({ waits })
  const { id } = await process.jobs.waits.trigger(null)
  await world.settle()
  return { ...process, id, client: overHttp(process, { onError: () => {} }, network) }
}

/** What a page shows of the run. */
function watch(
  world: World,
  client: Client,
  env: Parameters<typeof createObservers>[1],
  id: string,
) {
  const run = createObservers(client, env, seen).run(id)
  const stop = run.subscribe(() => {})
  onTestFinished(async () => {
    stop()
    await world.advance(1000)
  })
  return run
}

/** Says half of the answer. */
async function half(response: Response, how: 'broken' | 'closed'): Promise<Response> {
  const text = await response.text()
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text.slice(0, text.length / 2)))
    },
    pull(controller) {
      if (how === 'closed') controller.close()
      else controller.error(new TypeError('terminated'))
    },
  })
  return new Response(body, response)
}

const foreign = (status: number) => () =>
  Promise.resolve(
    new Response('<html>Who are you?</html>', { status, headers: { 'content-type': 'text/html' } }),
  )

/** Fails with the reason of the request's signal, as `fetch` does. */
const neverAnswered: Network = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
  })

inMemory((open) => {
  test.each(['broken', 'closed'] as const)(
    'an answer that is %s in the middle is asked for again',
    async (how) => {
      const world = await open()
      let isDying = true
      const { client, id, env, durably } = await begin(world, async (request, proceed) => {
        const response = await proceed()
        return isDying && !request.url.includes('subscribe') ? half(response, how) : response
      })
      await expect(world.until(client.getRun(id))).rejects.toMatchObject({
        code: 'unavailable',
        cause: expect.any(Error) as Error,
      })
      const run = watch(world, client, env, id)
      const waited = client.waitForRun(id)
      await world.advance(3000)
      expect(run.get()).toMatchObject({ isLoading: true, loadError: null })
      isDying = false
      await world.advance(3000)
      expect(run.get()).toMatchObject({ status: 'waiting', loadError: null })
      await durably.signal(id, 'go', 'now')
      expect(await world.until(waited)).toMatchObject({ output: 'now' })
    },
  )

  test('a refusal that breaks off in the middle may not have been one', async () => {
    const world = await open()
    const { client } = await begin(world, async (_, proceed) => half(await proceed(), 'broken'))
    await expect(world.until(client.cancel('nobody'))).rejects.toMatchObject({
      code: 'unavailable',
    })
  })

  test('headers that cannot be made are like a server that is away, unless Durably says why', async () => {
    const world = await open()
    const process = await begin(world, (_, proceed) => proceed())
    let failure: Error | null = null
    const server = handlerOf(process)
    const client = createHttpClient(
      {
        api: `http://app.test${BASE}`,
        fetch: (input, init) => server.handle(new Request(input, init), BASE),
        async headers() {
          if (failure !== null) throw failure
          return { authorization: 'a token' }
        },
      },
      process.env,
    )
    failure = new TypeError('fetch failed')
    await expect(world.until(client.getRun(process.id))).rejects.toMatchObject({
      code: 'unavailable',
      cause: failure,
    })
    const run = watch(world, client, process.env, process.id)
    const waited = client.waitForRun(process.id)
    const events = readAll(client.subscribe(process.id))
    await world.advance(3000)
    failure = null
    await world.advance(10_000)
    expect(run.get()).toMatchObject({ status: 'waiting', loadError: null })
    await process.durably.signal(process.id, 'go')
    await world.until(waited)
    expect((await world.until(events)).at(-1)).toMatchObject({ type: 'run:complete' })
    failure = new DurablyError('unauthenticated', 'The session is over')
    await expect(world.until(client.waitForRun(process.id))).rejects.toBe(failure)
  })

  test('a fetch that throws is like a server that is away', async () => {
    const world = await open()
    const process = await begin(world, (_, proceed) => proceed())
    const failure = new TypeError('no network')
    const client = createHttpClient(
      {
        api: `http://app.test${BASE}`,
        fetch() {
          throw failure
        },
      },
      process.env,
    )
    await expect(world.until(client.getRun(process.id))).rejects.toMatchObject({
      code: 'unavailable',
      cause: failure,
    })
    const waited = world.until(client.waitForRun(process.id, { timeout: 5000 }))
    await expect(waited).rejects.toThrow(TimeoutError)
  })

  test('a fetch is called as a function, as browsers want it of their own', async () => {
    const world = await open()
    const process = await begin(world, (_, proceed) => proceed())
    const server = handlerOf(process)
    const client = createHttpClient(
      {
        api: `http://app.test${BASE}`,
        fetch(this: unknown, input, init) {
          if (this !== undefined) throw new TypeError('Illegal invocation')
          return server.handle(new Request(input, init), BASE)
        },
      },
      process.env,
    )
    expect(await world.until(client.getRun(process.id))).toMatchObject({ status: 'waiting' })
  })

  test.each([
    [404, 'misdirected'],
    [200, 'misdirected'],
    [401, 'unauthenticated'],
    [403, 'forbidden'],
  ])(
    'an answer of %i from someone else is told at once, not asked for again',
    async (status, code) => {
      const world = await open()
      let asked = 0
      const { client, id, env } = await begin(world, () => {
        asked++
        return foreign(status)()
      })
      const told = {
        code,
        message: expect.stringMatching(
          RegExp(
            `^http://app.test${BASE}/[a-z]+\\?\\S+ answered ${status} with text/html: does api name the path of the handler\\?$`,
          ),
        ) as string,
      }
      const run = watch(world, client, env, id)
      await world.advance(1000)
      expect(run.get()).toMatchObject({ isLoading: false, loadError: told })
      await expect(world.until(client.getRun(id))).rejects.toMatchObject(told)
      await expect(world.until(client.waitForRun(id))).rejects.toMatchObject(told)
      await expect(world.until(readAll(client.subscribe(id)))).rejects.toMatchObject(told)
      await world.advance(60_000)
      expect(asked).toBeLessThan(10)
    },
  )

  test('a path at which the handler is not mounted is told, and is not nothing', async () => {
    const world = await open()
    const process = await begin(world, (_, proceed) => proceed())
    const { id, env } = process
    const server = handlerOf(process)
    const client = createHttpClient(
      {
        api: 'http://app.test/elsewhere',
        fetch: (input, init) => server.handle(new Request(input, init), BASE),
      },
      env,
    )
    const told = { code: 'misdirected', message: 'There is nothing at /elsewhere/run' }
    await expect(world.until(client.getRun(id))).rejects.toMatchObject(told)
    await expect(world.until(client.waitForRun(id))).rejects.toMatchObject({ code: told.code })
    await expect(world.until(client.getLogs(id))).rejects.toMatchObject({ code: told.code })
  })

  test.each([408, 425, 429, 500, 502])(
    'an answer of %i from something on the way is asked for again',
    async (status) => {
      const world = await open()
      let isAway = true
      const { client, id, durably } = await begin(world, (_, proceed) =>
        isAway ? foreign(status)() : proceed(),
      )
      await expect(world.until(client.getRun(id))).rejects.toMatchObject({
        code: 'unavailable',
        message: `http://app.test${BASE}/run?runId=${id} answered ${status} with text/html`,
      })
      const waited = client.waitForRun(id)
      const events = readAll(client.subscribe(id))
      await world.advance(5000)
      isAway = false
      await durably.signal(id, 'go', 'now')
      expect(await world.until(waited)).toMatchObject({ output: 'now' })
      expect((await world.until(events)).at(-1)).toMatchObject({ type: 'run:complete' })
    },
  )

  test.each([
    [429, 'rate_limited'],
    [500, '500'],
    [504, 'FUNCTION_INVOCATION_TIMEOUT'],
    [502, undefined],
  ])(
    'an answer of %i with a code of %j is not the server’s own, whatever its shape',
    async (status, code) => {
      const world = await open()
      let isAway = true
      const { client, id, durably } = await begin(world, async (_, proceed) =>
        isAway ? Response.json({ error: { code, message: 'Sorry' } }, { status }) : proceed(),
      )
      await expect(world.until(client.getRun(id))).rejects.toMatchObject({ code: 'unavailable' })
      const waited = client.waitForRun(id)
      await world.advance(1000)
      isAway = false
      await durably.signal(id, 'go', 'now')
      expect(await world.until(waited)).toMatchObject({ output: 'now' })
    },
  )

  test('a stream that is not answered at all is given up for another', async () => {
    const world = await open()
    let asked = 0
    const { client, id, durably } = await begin(world, (request, proceed) =>
      asked++ === 0 ? neverAnswered(request, proceed) : proceed(),
    )
    const events = readAll(client.subscribe(id))
    await world.advance(40_000)
    expect(asked).toBe(1)
    await durably.signal(id, 'go')
    await world.advance(10_000)
    expect(asked).toBeGreaterThan(1)
    const facts = (await world.until(events)).filter((event) => !isTick(event))
    expect(facts.map(({ sequence }) => sequence)).toEqual(facts.map((_, i) => i + 1))
    expect(facts.at(-1)).toMatchObject({ type: 'run:complete' })
  })

  test('a stream that is cancelled before it is answered asks no more', async () => {
    const world = await open()
    let asked = 0
    const { client, id } = await begin(world, (request, proceed) => {
      asked++
      return neverAnswered(request, proceed)
    })
    const reader = client.subscribe(id).getReader()
    const read = reader.read()
    await world.settle()
    await reader.cancel()
    await world.until(read)
    await world.advance(120_000)
    expect(asked).toBe(1)
  })
})
