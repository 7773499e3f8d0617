import { expect, test } from 'vitest'
import { createHandler, type HandlerOptions } from '../../src/http/handler.ts'
import { handlerOf } from '../client/clients.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'

const BASE = '/api'

const waits = job(async (step) => {
  step.progress(1, 2, 'half')
  return step.waitForSignal('go')
}, 'waits')

async function serve(world: World, options: HandlerOptions = {}) {
  const process = await world.work({ waits })
  const handler = handlerOf(process, options)
  const { id } = await process.jobs.waits.trigger('payload')
  await world.advance(60)
  const subscribe = async (path: string, headers: HeadersInit = {}, signal?: AbortSignal) => {
    const init = { headers, ...(signal === undefined ? {} : { signal }) }
    const request = new Request(`http://app.test${BASE}${path}`, init)
    return world.until(handler.handle(request, BASE))
  }
  return { ...process, id, subscribe }
}

/** Reads a stream as its text comes. */
function listen(response: Response) {
  if (response.body === null) throw new Error(`no stream, but ${response.status}`)
  const reader = response.body.getReader()
  const heard = { text: '', stop: () => reader.cancel() }
  const read = async (): Promise<void> => {
    while (true) {
      const { value, done } = await reader.read()
      if (done) return
      heard.text += new TextDecoder().decode(value)
    }
  }
  void read()
  return heard
}

inMemory((open) => {
  test('a stream has a JSON event in each frame, with its position if it is a fact', async () => {
    const world = await open()
    const { durably, id, subscribe } = await serve(world)
    const response = await subscribe(`/subscribe?runId=${id}`)
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    await world.until(durably.signal(id, 'go', 'line\nbreak'))
    const text = await world.until(response.text())
    const [head, ...frames] = text.trimEnd().split('\n\n')
    expect(head).toBe('retry: 1000')
    const events = frames.map((frame) => {
      const [, position, data = ''] = /^(?:id: (\d+)\n)?data: (.*)$/.exec(frame) ?? []
      return [position, JSON.parse(data) as { type: string; sequence: number }] as const
    })
    for (const [position, { type, sequence }] of events) {
      expect(position).toBe(type === 'run:progress' ? undefined : String(sequence))
    }
    expect(events.at(-1)?.[1]).toMatchObject({ type: 'run:complete', output: 'line\nbreak' })
  })

  test('a browser that comes back hears what it missed, and is sent away when that is all', async () => {
    const world = await open()
    const { durably, id, subscribe } = await serve(world)
    await world.until(durably.signal(id, 'go'))
    await world.settle()
    const late = await subscribe(`/subscribe?runId=${id}&after=1`, { 'last-event-id': '6' })
    expect((await late.text()).match(/id: \d+/g)).toEqual(['id: 7', 'id: 8'])
    const over = await subscribe(`/subscribe?runId=${id}`, { 'last-event-id': '8' })
    expect([over.status, await over.text()]).toEqual([204, ''])
    const odd = await subscribe(`/subscribe?runId=${id}`, { 'last-event-id': 'x' })
    expect(odd.status).toBe(400)
  })

  test('a stream in which nothing happens is kept open by heartbeats', async () => {
    const world = await open()
    const { id, subscribe } = await serve(world)
    const heard = listen(await subscribe(`/subscribe?runId=${id}`))
    await world.settle()
    const before = heard.text
    await world.advance(46_000)
    expect(heard.text).toBe(`${before}${':\n\n'.repeat(3)}`)
    await heard.stop()
  })

  test('a client that goes leaves nothing, however it goes', async () => {
    const world = await open()
    const { env, id, subscribe } = await serve(world, { maxStreams: 2 })
    const idle = env.timers()
    for (let i = 0; i < 5; i++) {
      const gone = new AbortController()
      const streams = [
        await subscribe(`/subscribe?runId=${id}`),
        await subscribe('/runs/subscribe', {}, gone.signal),
      ]
      for (const stream of streams) expect(stream.status).toBe(200)
      const refused = await subscribe('/runs/subscribe')
      expect(refused.status).toBe(503)
      await streams[0]?.body?.cancel()
      gone.abort()
      await world.settle()
      expect(env.timers()).toBe(idle)
    }
  })

  test('what never becomes a stream holds no place of one', async () => {
    const world = await open()
    const { id, subscribe } = await serve(world, { maxStreams: 1 })
    for (let i = 0; i < 3; i++) {
      expect((await subscribe(`/runs/subscribe?label.a=${'x'.repeat(600)}`)).status).toBe(400)
      const gone = new AbortController()
      const late = subscribe(`/subscribe?runId=${id}`, {}, gone.signal)
      gone.abort()
      expect(await (await late).text()).toBe('')
    }
    const stream = await subscribe('/runs/subscribe')
    expect(stream.status).toBe(200)
    await stream.body?.cancel()
  })

  test('whoever comes back to a run that goes on after all is answered before anything happens', async () => {
    const world = await open()
    const process = await world.work({ quiet: job((step) => step.waitForSignal('go'), 'quiet') })
    const { durably, env } = process
    const { id } = await process.jobs.quiet.trigger(null)
    await world.until(durably.cancel(id))
    await durably.pauseJob('quiet')
    await world.settle()
    const { getRun } = durably
    durably.getRun = (async (runId: string) => {
      const run = await getRun(runId)
      await durably.retry(id)
      return run
    }) as typeof getRun
    const idle = env.timers()
    const request = new Request(`http://app.test${BASE}/subscribe?runId=${id}&after=1000`)
    let late: Response | null = null
    const asking = handlerOf(process)
      .handle(request, BASE)
      .then((response) => (late = response))
    await world.advance(2000)
    expect(late).toMatchObject({ status: 200 })
    await (await asking).body?.cancel()
    await world.settle()
    expect(env.timers()).toBe(idle)
  })

  test('whoever comes back after the end is sent away by a database that takes its time, too', async () => {
    const world = await open()
    const { durably, env, jobs } = await world.work({ job: job(async () => 'done') })
    const { id } = await jobs.job.trigger(null)
    await world.settle()
    const { subscribe } = durably
    const slowly = () => new Promise<void>((resolve) => void env.after(5000, resolve))
    durably.subscribe = (...args: Parameters<typeof subscribe>) =>
      subscribe(...args).pipeThrough(new TransformStream({ flush: slowly }))
    const handler = createHandler(durably, {}, env)
    const request = new Request(`http://app.test${BASE}/subscribe?runId=${id}&after=1000`)
    expect((await world.until(handler.handle(request, BASE))).status).toBe(204)
  })

  test('a client that does not read is not read for', async () => {
    const world = await open()
    const process = await world.work({
      talks: job(async (step) => {
        for (let i = 0; i < 3000; i++) step.log.info(`line ${i}`)
        await step.run('one', () => 1)
      }, 'talks'),
    })
    const { id } = await process.jobs.talks.trigger(null)
    await world.settle()
    const calls = (): number => process.wire.calls.get('journal') ?? 0
    const before = calls()
    const handler = handlerOf(process)
    const request = new Request(`http://app.test${BASE}/subscribe?runId=${id}`)
    const response = await world.until(handler.handle(request, BASE))
    await world.settle()
    // Of seven pages the first, or two.
    expect(calls() - before).toBeLessThan(3)
    const text = await world.until(response.text())
    expect(text.match(/log:write/g)).toHaveLength(3000)
  })

  test('a tight loop of progress is told ten times a second, and its end surely', async () => {
    const world = await open()
    const process = await world.work({
      loops: job(async (step) => {
        for (let i = 1; i <= 500; i++) {
          step.progress(i, 500)
          await step.run(`step ${i}`, () => i)
        }
      }, 'loops'),
    })
    const { id } = await process.jobs.loops.trigger(null)
    const reading = process.durably.subscribe(id)
    const values: number[] = []
    await world.until(
      (async () => {
        for await (const event of reading) {
          if (event.type === 'run:progress') values.push(event.progress.current)
        }
      })(),
    )
    expect(values.at(-1)).toBe(500)
    expect(values.length).toBeLessThan(10)
    expect(values).toEqual(values.toSorted((a, b) => a - b))
  })
})
