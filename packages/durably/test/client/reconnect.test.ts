import { expect, test } from 'vitest'
import { DurablyError } from '../../src/core/error.ts'
import type { RunChange } from '../../src/core/event.ts'
import { isTick } from '../../src/core/tick.ts'
import { RICH_TYPE } from '../../src/core/wire.ts'
import { readAll } from '../conformance/api/read-all.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'
import { BASE, handlerOf, overHttp, type Network } from './clients.ts'

const steps = job(async (step) => {
  for (const name of ['one', 'two', 'three']) {
    await step.run(name, () => name)
    await step.sleep(`after ${name}`, '10s')
  }
}, 'steps')

const ofEvents = { headers: { 'content-type': 'text/event-stream' } }

/** Passes on so many bytes of a stream, then breaks it. */
function breakingAfter(response: Response, bytes: number): Response {
  let left = bytes
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left))
      left -= chunk.length
      if (left <= 0) controller.error(new Error('the connection broke'))
    },
  })
  return new Response(response.body?.pipeThrough(cut) ?? null, response)
}

/** The same answer, from a fetch that knows no signals; says when its body was closed. */
function noticing(response: Response, onClosed: () => void): Response {
  const inner = response.body?.getReader()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = await inner?.read()
      if (chunk?.value === undefined) controller.close()
      else controller.enqueue(chunk.value)
    },
    async cancel() {
      onClosed()
      await inner?.cancel()
    },
  })
  return new Response(body, response)
}

function inPieces(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  let position = 0
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(bytes.subarray(position, (position += size)))
      if (position >= bytes.length) controller.close()
    },
  })
}

async function begin(world: World, network: Network) {
  const process = await world.work({ steps })
  const run = await process.jobs.steps.trigger(null)
  return { ...process, id: run.id, client: overHttp(process, {}, network) }
}

/** Passes on a stream up to the first chunk with `word` in it, then breaks it. */
function breakingAt(response: Response, word: string, how: 'broken' | 'closed'): Response {
  let isOver = false
  const decoder = new TextDecoder()
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      if (isOver) return
      controller.enqueue(chunk)
      isOver = decoder.decode(chunk).includes(word)
      if (isOver && how === 'broken') controller.error(new Error('the connection broke'))
      if (isOver && how === 'closed') controller.terminate()
    },
  })
  return new Response(response.body?.pipeThrough(cut) ?? null, response)
}

inMemory((open) => {
  test('a connection that breaks in the middle of a word loses no event and repeats none', async () => {
    const world = await open()
    let connections = 0
    const { client, durably, id } = await begin(world, async (_, proceed) => {
      connections++
      return breakingAfter(await proceed(), 700)
    })
    const events = (await world.until(readAll(client.subscribe(id)))).filter((e) => !isTick(e))
    expect(connections).toBeGreaterThan(3)
    const all = await world.until(readAll(durably.subscribe(id)))
    expect(events).toEqual(all)
  })

  test('a server that is away for a while is asked again, ever more seldom', async () => {
    const world = await open()
    let isAway = false
    let refusals = 0
    const { client, id } = await begin(world, async (_, proceed) => {
      if (!isAway) return breakingAfter(await proceed(), 400)
      refusals++
      if (refusals % 2 === 0) return new Response('bad gateway', { status: 502 })
      throw new TypeError('fetch failed')
    })
    const reading = readAll(client.subscribe(id))
    await world.settle()
    isAway = true
    await world.advance(60_000)
    expect(refusals).toBeGreaterThan(6)
    expect(refusals).toBeLessThan(16)
    isAway = false
    const events = (await world.until(reading)).filter((event) => !isTick(event))
    expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, i) => i + 1))
    expect(events.at(-1)?.type).toBe('run:complete')
  })

  test('another process goes on where the one before stopped, and its stream with it', async () => {
    const world = await open()
    const first = await world.work({ steps })
    const second = await world.join()
    let server = handlerOf(first)
    const client = overHttp(second, {}, (request) => server.handle(request, BASE))
    const { id } = await first.jobs.steps.trigger(null)
    const reading = readAll(client.subscribe(id))
    await world.advance(5000)
    first.crash()
    server = handlerOf(second)
    second.durably.register({ steps })
    await second.durably.init()
    const events = (await world.until(reading)).filter((event) => !isTick(event))
    expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, i) => i + 1))
    expect(events.at(-1)?.type).toBe('run:complete')
  })

  test('a stream in which nothing is heard any more is given up for another', async () => {
    const world = await open()
    let connections = 0
    const { client, id } = await begin(world, async (_, proceed) => {
      connections++
      // The first one opens, and that is all.
      return connections === 1 ? new Response(new ReadableStream(), ofEvents) : proceed()
    })
    const events = await world.until(readAll(client.subscribe(id)))
    // The last one only hears that this was all.
    expect(connections).toBe(3)
    expect(events.at(-1)?.type).toBe('run:complete')
  })

  test.each(['broken', 'closed'] as const)(
    'a failure that a retry took back is not the end of a run, also where its stream is %s after it',
    async (how) => {
      const world = await open()
      let isFailing = true
      const flaky = job(async (step) => {
        if (isFailing) throw new Error('out of ink')
        return step.run('print', () => 'printed')
      }, 'flaky')
      const process = await world.work({ flaky })
      const { id } = await process.jobs.flaky.trigger(null)
      await world.settle()
      isFailing = false
      await process.durably.retry(id)
      await world.until(process.durably.waitForRun(id))
      let isCut = true
      const client = overHttp(process, {}, async (_, proceed) => {
        const response = await proceed()
        if (!isCut) return response
        isCut = false
        return breakingAt(response, 'run:fail', how)
      })
      const began = world.now()
      const events = await world.until(readAll(client.subscribe(id)))
      const all = await world.until(readAll(process.durably.subscribe(id)))
      expect(events.map(({ type }) => type)).toEqual(all.map(({ type }) => type))
      expect(events.at(-1)?.type).toBe('run:complete')
      expect(world.now()).toBe(began)
    },
  )

  test('whether a run has ended is asked once, not again and again of a server that only hangs up', async () => {
    const world = await open()
    let asked = 0
    const { client, id, durably } = await begin(world, async (_, proceed) => {
      asked++
      if (asked === 1) return proceed()
      return asked < 5 ? new Response('', ofEvents) : new Response(null, { status: 204 })
    })
    await world.until(durably.waitForRun(id))
    const began = world.now()
    const events = await world.until(readAll(client.subscribe(id)))
    expect(events.at(-1)?.type).toBe('run:complete')
    expect(asked).toBe(5)
    expect(world.now() - began).toBeGreaterThan(300)
  })

  test('what a server tells again is told once, and is no reason to ask at once', async () => {
    const world = await open()
    let asked = 0
    const { client, id, durably, env } = await begin(world, async () => {
      asked++
      // It does not go by positions.
      const address = `http://app.test${BASE}/subscribe?runId=${id}`
      const request = new Request(address, { headers: { accept: RICH_TYPE } })
      return asked > 20 ? new Response(null, { status: 204 }) : server.handle(request, BASE)
    })
    const server = handlerOf({ durably, env })
    await world.until(durably.waitForRun(id))
    const began = world.now()
    const events = await world.until(readAll(client.subscribe(id)))
    const facts = events.filter((event) => !isTick(event))
    expect(facts.map(({ sequence }) => sequence)).toEqual(facts.map((_, i) => i + 1))
    expect(world.now() - began).toBeGreaterThan(18 * 125)
  })

  test.each([
    ['nothing', ''],
    ['how long to wait', 'retry: 1000\n\n'],
  ])(
    'who answers %s and hangs up is asked ever more seldom, like who is away',
    async (_what, head) => {
      const world = await open()
      let asked = 0
      const { client, id } = await begin(world, async () => {
        asked++
        return new Response(head, ofEvents)
      })
      let hints = 0
      const list = client.subscribeRuns().getReader()
      const reading = (async () => {
        while (!(await list.read()).done) hints++
      })()
      await world.advance(60_000)
      expect(asked).toBeGreaterThan(6)
      expect(asked).toBeLessThan(16)
      expect(hints).toBeLessThan(32)
      await list.cancel()
      await reading
      asked = 0
      const run = client.subscribe(id).getReader()
      const read = run.read()
      await world.advance(60_000)
      expect(asked).toBeLessThan(16)
      await run.cancel()
      await read
    },
  )

  test('a stream that lived is found again soon, though it had nothing to say', async () => {
    const world = await open()
    let isAway = true
    let asked = 0
    const { client } = await begin(world, async () => {
      asked++
      if (isAway) throw new TypeError('fetch failed')
      return new Response('retry: 1000\n\n:\n\n', ofEvents)
    })
    const list = client.subscribeRuns().getReader()
    const reading = (async () => {
      while (!(await list.read()).done);
    })()
    await world.advance(60_000)
    isAway = false
    await world.advance(10_000)
    asked = 0
    await world.advance(10_000)
    expect(asked).toBeGreaterThan(30)
    await list.cancel()
    await reading
  })

  test('a run that is deleted ends its stream with that', async () => {
    const world = await open()
    const { client, id, durably } = await begin(world, (_, proceed) => proceed())
    const reading = readAll(client.subscribe(id))
    await world.settle()
    await durably.cancel(id)
    await durably.deleteRun(id)
    const events = await world.until(reading)
    expect(events.filter(({ type }) => type === 'run:delete')).toEqual([events.at(-1)])
  })

  test('text that some take for the end of a line arrives as it is', async () => {
    const world = await open()
    const { client, jobs } = await begin(world, (_, proceed) => proceed())
    const text = 'one\u2028two\u2029three\r\nfour'
    const { id } = await jobs.steps.trigger({ text })
    const [event] = await world.until(readAll(client.subscribe(id)))
    expect(event).toMatchObject({ type: 'run:trigger', payload: { text } })
  })

  // Not 40 seconds.
  const inTime = { timeout: 15_000 }
  test('an event of many pieces is put together once, not with each of them', inTime, async () => {
    const world = await open()
    const { client, id } = await begin(world, async () => {
      const message = 'x'.repeat(16_000_000)
      const value = { type: 'run:delete', sequence: 1, message }
      const text = `data: ${JSON.stringify({ format: 'json', value })}\n\n`
      return new Response(inPieces(new TextEncoder().encode(text), 16_384), ofEvents)
    })
    const [event] = await world.until(readAll(client.subscribe(id)))
    expect(JSON.stringify(event).length).toBeGreaterThan(16_000_000)
  })

  test('a list is told that it may have missed something', async () => {
    const world = await open()
    const { client } = await begin(world, async (_, proceed) => breakingAfter(await proceed(), 5))
    const heard: RunChange[] = []
    const reader = client.subscribeRuns().getReader()
    const { value } = await world.until(reader.read())
    if (value !== undefined) heard.push(value)
    expect(heard).toEqual([{ type: 'run:changed', runId: null }])
    await reader.cancel()
  })

  test('a list is told so again once it is connected again: what happened meanwhile nobody tells', async () => {
    const world = await open()
    let isAway = false
    let hangUp = (): void => {}
    const { client } = await begin(world, async (request, proceed) => {
      if (isAway) throw new TypeError('fetch failed')
      const gone = new AbortController()
      hangUp = () => gone.abort()
      const signal = AbortSignal.any([request.signal, gone.signal])
      const response = await proceed()
      return new Response(
        response.body?.pipeThrough(new TransformStream(), { signal }) ?? null,
        response,
      )
    })
    const heard: (RunChange['type'] | 'away' | 'back')[] = []
    const reader = client.subscribeRuns().getReader()
    const reading = (async () => {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        heard.push(next.value.type)
      }
    })()
    await world.settle()
    heard.splice(0)
    isAway = true
    hangUp()
    await world.advance(1000)
    expect(heard.length).toBeGreaterThan(0)
    heard.push('back')
    isAway = false
    await world.advance(10_000)
    expect(heard.slice(heard.indexOf('back'))).toContain('run:changed')
    await reader.cancel()
    await reading
  })

  test('a stream that is cancelled closes what it had opened, whatever fetch was given', async () => {
    const world = await open()
    let closed = 0
    const { client, id } = await begin(world, async (_, proceed) =>
      noticing(await proceed(), () => void closed++),
    )
    const reader = client.subscribe(id).getReader()
    await world.until(reader.read())
    expect(closed).toBe(0)
    await reader.cancel()
    await world.settle()
    expect(closed).toBe(1)
  })

  test('who never answers is given up for another, also by a fetch that knows no signals', async () => {
    const world = await open()
    let connections = 0
    let closed = 0
    const late = Promise.withResolvers<void>()
    const { client, id } = await begin(world, async (_, proceed) => {
      if (connections++ > 0) return proceed()
      await late.promise
      return new Response(new ReadableStream({ cancel: () => void closed++ }), ofEvents)
    })
    const events = readAll(client.subscribe(id))
    await world.advance(50_000)
    expect(connections).toBeGreaterThan(1)
    late.resolve()
    await world.settle()
    expect(closed).toBe(1)
    expect((await world.until(events)).at(-1)).toMatchObject({ type: 'run:complete' })
  })

  test('so does one that is cancelled while it waits, with a fetch that knows no signals', async () => {
    const world = await open()
    let closed = 0
    const { client, id, jobs } = await begin(world, async (_, proceed) =>
      noticing(await proceed(), () => void closed++),
    )
    await jobs.steps.trigger(null)
    for (const stream of [client.subscribe(id), client.subscribeRuns()]) {
      closed = 0
      const reader = (stream as ReadableStream<unknown>).getReader()
      const reading = (async () => {
        while (!(await reader.read()).done);
      })()
      await world.settle()
      expect(closed).toBe(0)
      await reader.cancel()
      await reading
      await world.settle()
      expect(closed).toBe(1)
    }
  })

  test('what the server refuses is not asked again', async () => {
    const world = await open()
    let asked = 0
    const network: Network = async () => {
      asked++
      return Response.json({ error: { code: 'forbidden', message: 'no' } }, { status: 403 })
    }
    const { client, id } = await begin(world, network)
    const refused = world.until(readAll(client.subscribe(id)))
    await expect(refused).rejects.toMatchObject({ code: 'forbidden', message: 'no' })
    await expect(world.until(client.waitForRun(id))).rejects.toMatchObject({ code: 'forbidden' })
    await world.settle()
    expect(asked).toBeLessThanOrEqual(3)
  })

  test('who answers, or that nobody does, is said with the address', async () => {
    const world = await open()
    const answers: (() => Promise<Response>)[] = [
      () => Promise.reject(new TypeError('fetch failed')),
      async () => new Response('<html>', { status: 404, statusText: 'Not Found' }),
      async () => new Response('<html>', { headers: { 'content-type': 'text/html' } }),
    ]
    const { client, id } = await begin(world, async () => answers.shift()?.() ?? Response.error())
    await expect(world.until(client.getSteps(id))).rejects.toThrow(
      new DurablyError(
        'unavailable',
        `http://app.test/api/durably/steps?runId=${id} cannot be reached`,
      ),
    )
    await expect(world.until(client.cancel(id))).rejects.toThrow(/answered 404 with text\/plain/)
    await expect(world.until(client.getSteps(id))).rejects.toThrow(
      /answered 200 with text\/html: does api name the path of the handler\?/,
    )
  })
})
