import { once } from 'node:events'
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { connect as connectHttp2, constants, createServer as createHttp2Server } from 'node:http2'
import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { getRequestListener } from '@hono/node-server'
import BetterSqlite from 'better-sqlite3'
import { EventSource } from 'eventsource'
import express from 'express'
import { Hono } from 'hono'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { createDurablyClient } from '../../src/client.ts'
import {
  createDurably,
  createDurablyHandler,
  defineJob,
  NotFoundError,
  type DurablyHandler,
} from '../../src/index.ts'
import { toNodeHandler } from '../../src/node.ts'
import { sqliteDialect } from '../../src/sqlite.ts'

const BASE = '/api/durably'

const greet = defineJob({
  name: 'greet',
  input: z.object({ name: z.string() }),
  run: (step, { name }) => step.run('greet', () => `Hello, ${name}`),
})
const waits = defineJob({
  name: 'waits',
  input: z.object({}),
  run: async (step) => step.waitForSignal<string>('go'),
})

/** How apps mount the handler. */
const mounts: Readonly<Record<string, (handler: DurablyHandler) => RequestListener>> = {
  'node:http': (handler) => toNodeHandler(handler, BASE),
  Hono(handler) {
    const app = new Hono()
    app.all(`${BASE}/*`, (c) => handler.handle(c.req.raw, BASE))
    return listenerOf((request) => app.fetch(request))
  },
  Express(handler) {
    const app = express()
    app.use(BASE, toNodeHandler(handler, BASE))
    return app as RequestListener
  },
  'Express, which reads bodies itself'(handler) {
    const app = express()
    app.use(express.json())
    app.use(BASE, toNodeHandler(handler, BASE))
    return app as RequestListener
  },
  'functions of a route, as Next.js has them'(handler) {
    const answer = (request: Request) => handler.handle(request, BASE)
    const route: Record<string, typeof answer> = { GET: answer, POST: answer, DELETE: answer }
    return listenerOf(
      async (request) => (await route[request.method]?.(request)) ?? Response.error(),
    )
  },
}

function listenerOf(fetch: (request: Request) => Response | Promise<Response>): RequestListener {
  const listener = getRequestListener(fetch)
  return (request, response) => void listener(request, response)
}

async function serve(mount: (handler: DurablyHandler) => RequestListener) {
  const database = new BetterSqlite(':memory:')
  const durably = createDurably({ dialect: sqliteDialect({ database }), jobs: { greet, waits } })
  await durably.init()
  const handler = createDurablyHandler(durably, { maxStreams: 1, maxBodyBytes: 2 ** 18 })
  const server = createServer(mount(handler))
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    await close(server)
    await durably.stop({ timeout: 0 })
    await durably.close()
    database.close()
  })
  const { port } = server.address() as AddressInfo
  const api = `http://127.0.0.1:${port}${BASE}`
  return { durably, api, client: createDurablyClient<typeof durably>({ api }) }
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** What the server says to whatever is written to it. */
async function converse(api: string, text: string, hangUp = false): Promise<string> {
  const { port } = new URL(api)
  const socket = connect(Number(port), '127.0.0.1')
  await once(socket, 'connect')
  socket.write(text)
  if (hangUp) {
    socket.destroy()
    return ''
  }
  const [answer] = (await Promise.race([once(socket, 'data'), once(socket, 'close')])) as unknown[]
  socket.destroy()
  return String(answer)
}

const head = (line: string, ...headers: string[]): string =>
  [line, 'Host: localhost', ...headers, '', ''].join('\r\n')

/** Sends far more than a handler takes, and hears the answer to its end. */
async function post(api: string, agent: Agent, headers: Record<string, string>) {
  const sent = request(api, {
    agent,
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
  })
  sent.end('x'.repeat(2 ** 20))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  await text(response)
  return response.statusCode
}

test('what is no handler is refused before there are requests', () => {
  expect(() => toNodeHandler({} as DurablyHandler, BASE)).toThrow(
    'handler must have the function handle; got an object',
  )
})

test('what is no request is refused, and the server goes on', async () => {
  const { api, client } = await serve((handler) => toNodeHandler(handler, BASE))
  const trace = await converse(api, head(`TRACE ${BASE}/runs HTTP/1.1`))
  expect(trace).toMatch(/^HTTP\/1\.1 400/)
  for (const path of ['//', '/%', 'http://[', `${BASE}/runs?status=%E0%A4%A`]) {
    expect(await converse(api, head(`GET ${path} HTTP/1.1`))).toMatch(/^HTTP\/1\.1 4/)
  }
  // A client that goes in the middle of what it sends.
  const json = 'Content-Type: application/json'
  await converse(api, head(`POST ${BASE}/trigger HTTP/1.1`, json, 'Content-Length: 100'), true)
  expect(await client.getRun('nobody')).toBeNull()
})

test.each([
  ['/trigger', {}, 413],
  ['/trigger', { 'transfer-encoding': 'chunked' }, 413],
  ['/nothing', {}, 404],
  ['/nothing', { 'transfer-encoding': 'chunked' }, 404],
])(
  'a body for %s that nobody reads to its end %j keeps no connection',
  async (path, headers, status) => {
    const { api } = await serve((handler) => toNodeHandler(handler, BASE))
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    expect(await post(`${api}${path}`, agent, headers)).toBe(status)
    const next = request(`${api}/health`, { agent }).end()
    const [response] = (await once(next, 'response')) as [IncomingMessage]
    expect([response.statusCode, next.reusedSocket]).toEqual([200, true])
    response.resume()
  },
)

test('what is answered is the path that was sent, whatever stands beside it', async () => {
  const { api, durably } = await serve((handler) => {
    const inner = toNodeHandler(handler, BASE)
    return (request, response) => {
      if (request.url?.startsWith(`${BASE}/cancel`)) response.writeHead(403).end()
      else inner(request, response)
    }
  })
  const { id } = await durably.jobs.waits.trigger({})
  const cancel = `${BASE}/cancel?runId=${id}`
  for (const [target, host] of [
    [`${BASE}/health`, `x${cancel}&z=`],
    [`${BASE}/run?runId=${id}`, `x${BASE}/run?runId=nobody&z=`],
    [`${BASE}/health`, `x@localhost`],
    [`/public${cancel}`, ''],
    [`/public/..${cancel}`, 'x'],
    [`/public/%2e%2e${cancel}`, 'x'],
    [`/public/%2E./.${cancel}`, 'x'],
    [`/.${cancel}`, 'x'],
    [`\\..${cancel}`, 'x'],
  ]) {
    const request = `POST ${target} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`
    expect(await converse(api, request)).toMatch(/^HTTP\/1\.1 400/)
  }
  expect(await durably.getRun(id)).not.toMatchObject({ status: 'cancelled' })
})

test('HTTP/2 carries requests and streams as well', async () => {
  const { durably } = await serve((handler) => toNodeHandler(handler, BASE))
  const gate = Promise.withResolvers<void>()
  const authenticate = async (request: Request) => {
    if (request.headers.has('x-slow')) await gate.promise
    return {}
  }
  const options = { maxStreams: 1, auth: { authenticate } }
  const handler = toNodeHandler(createDurablyHandler(durably, options), BASE)
  const server = createHttp2Server((request, response) => {
    handler(request as unknown as IncomingMessage, response as unknown as ServerResponse)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => {
    session.destroy()
    server.close()
  })
  const ask = async (headers: Record<string, string>, body?: string): Promise<string> => {
    const stream = session.request(headers)
    stream.end(body)
    return text(stream)
  }
  const body = JSON.stringify({ jobName: 'greet', input: { name: 'Ada' } })
  const post = { ':method': 'POST', ':path': `${BASE}/trigger`, 'content-type': 'application/json' }
  const { runId } = JSON.parse(await ask(post, body)) as { runId: string }
  const events = await ask({ ':path': `${BASE}/subscribe?runId=${runId}` })
  expect(events).toContain('"type":"run:complete"')
  expect(events).toContain('Hello, Ada')
  // Whoever goes while it is asked who it is leaves no stream behind.
  const gone = session.request({ ':path': `${BASE}/runs/subscribe`, 'x-slow': 'yes' })
  gone.on('error', () => {})
  await ask({ ':path': `${BASE}/health` })
  gone.close(constants.NGHTTP2_CANCEL)
  await ask({ ':path': `${BASE}/health` })
  gate.resolve()
  await ask({ ':path': `${BASE}/health` })
  // Each look takes the one place there is, and gives it back in its own time.
  await expect
    .poll(
      async () => {
        const next = session.request({ ':path': `${BASE}/runs/subscribe` })
        const [head] = (await once(next, 'response')) as [Record<string, unknown>]
        next.close(constants.NGHTTP2_CANCEL)
        return head[':status']
      },
      { timeout: 10_000 },
    )
    .toBe(200)
  expect(await ask({ ':method': 'POST', ':path': `${BASE}/tokens/none` })).toContain(
    'no such token',
  )
})

describe.each(Object.entries(mounts))('mounted on %s', (_name, mount) => {
  test('a program of another make triggers a job and follows it', async () => {
    const { api } = await serve(mount)
    const response = await fetch(`${api}/trigger`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jobName: 'greet', input: { name: 'Ada' } }),
    })
    expect(response.status).toBe(200)
    const { runId } = (await response.json()) as { runId: string }
    const source = new EventSource(`${api}/subscribe?runId=${runId}`)
    const facts: [string, string][] = []
    const closed = Promise.withResolvers<void>()
    source.onmessage = ({ data, lastEventId }) => {
      const { type } = JSON.parse(data as string) as { type: string }
      if (type !== 'step:start') facts.push([lastEventId, type])
    }
    // It comes back once the stream has ended, and is told that this was all.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) closed.resolve()
    }
    await closed.promise
    expect(facts).toEqual([
      ['1', 'run:trigger'],
      ['2', 'run:start'],
      ['3', 'step:complete'],
      ['4', 'run:complete'],
    ])
  })

  test("Durably's own client does too, and gets the errors of the server", async () => {
    const { client } = await serve(mount)
    const { output } = await client.jobs.greet.triggerAndWait({ name: 'Grace' })
    expect(output).toBe('Hello, Grace')
    await expect(client.cancel('nobody')).rejects.toThrow(
      new NotFoundError('Run not found: nobody'),
    )
    const run = await client.jobs.waits.trigger({})
    await expect(client.jobs.greet.trigger({ name: 1 as never })).rejects.toMatchObject({
      issues: [{ path: ['name'] }],
    })
    await client.signal(run.id, 'go', 'now')
    expect((await client.waitForRun(run.id)).output).toBe('now')
    await client.deleteRun(run.id)
    expect(await client.getRun(run.id)).toBeNull()
  })

  test('a token is completed without a body, too', async () => {
    const { api, durably } = await serve(mount)
    for (const headers of [{}, { 'content-type': 'application/json' }]) {
      const none = await fetch(`${api}/tokens/none`, { method: 'POST', headers })
      expect([none.status, await none.text()]).toEqual([
        404,
        expect.stringContaining('no such token'),
      ])
    }
    expect(await durably.getRuns()).toEqual([])
  })

  test('a stream is over on the server when its client goes', async () => {
    const { client, api } = await serve(mount)
    const run = await client.jobs.waits.trigger({})
    for (let i = 0; i < 3; i++) {
      // One stream at a time: this waits until the last one is over there too.
      await expect
        .poll(
          async () => {
            const gone = new AbortController()
            const { signal } = gone
            const response = await fetch(`${api}/subscribe?runId=${run.id}`, { signal })
            if (response.status === 200) await response.body?.getReader().read()
            gone.abort()
            return response.status
          },
          { timeout: 10_000 },
        )
        .toBe(200)
    }
    await client.cancel(run.id)
  })
})
