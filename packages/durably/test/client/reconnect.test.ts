import { expect, test } from 'vitest'
import { DurablyError } from '../../src/core/error.ts'
import type { RunChange } from '../../src/core/event.ts'
import { isTick } from '../../src/core/tick.ts'
import { readAll } from '../conformance/api/read-all.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'
import { BASE, handlerOf, overHttp, type Network } from './clients.ts'

const steps = job(async (step) => {
  for (const name of ['one', 'two', 'three']) {
    await step.run(name, () => name)
    await step.sleep(`after ${name}`, '10s')
  }
}, 'steps')

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

async function begin(world: World, network: Network) {
  const process = await world.work({ steps })
  const run = await process.jobs.steps.trigger(null)
  return { ...process, id: run.id, client: overHttp(process, {}, network) }
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
      return connections === 1 ? new Response(new ReadableStream()) : proceed()
    })
    const events = await world.until(readAll(client.subscribe(id)))
    expect(connections).toBe(2)
    expect(events.at(-1)?.type).toBe('run:complete')
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
    await expect(world.until(client.cancel(id))).rejects.toThrow(/answered 404 Not Found/)
    await expect(world.until(client.getSteps(id))).rejects.toThrow(
      /answered with text\/html: does api name the path of the handler\?/,
    )
  })
})
