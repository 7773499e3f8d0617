import { expect, test } from 'vitest'
import { z } from 'zod'
import { richCodec } from '../../src/core/codec.ts'
import { defineJob } from '../../src/core/job.ts'
import type { HandlerOptions } from '../../src/http/handler.ts'
import { BASE, handlerOf } from '../client/clients.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'
import { serve } from './server.ts'

const importCsv = defineJob({
  name: 'import-csv',
  input: z.object({ url: z.string() }),
  async run(step, { url }) {
    step.log.info('reading', { url })
    return step.run('read', () => new Date('2026-01-02T03:04:05Z'))
  },
})
const waits = job((step) => step.waitForSignal('go'), 'waits')
const odd = job(() => new Map([['big', 1n]]), 'odd')
const echo = job((_, payload) => payload, 'echo')
const names = defineJob({ name: 'names', input: z.array(z.string()), run: () => 0 })

async function begin(world: World, options: HandlerOptions = {}) {
  const process = await world.work({ importCsv, waits, odd, echo, names })
  const server = serve(world, process, options)
  const trigger = async (jobName: string, input: unknown) => {
    const [, answer] = await server.json('POST', '/trigger', { jobName, input })
    return (answer as { runId: string }).runId
  }
  return { ...process, ...server, trigger }
}

const isText = expect.any(String) as string

inMemory((open) => {
  test('a job is triggered, and its run read, in plain JSON', async () => {
    const world = await open()
    const { json, ask } = await begin(world)
    const body = { jobName: 'import-csv', input: { url: 'x' }, idempotencyKey: 'a' }
    const [status, first] = await json('POST', '/trigger', body)
    expect([status, first]).toMatchObject([200, { runId: isText, disposition: 'created' }])
    const { runId } = first as { runId: string }
    expect(await json('POST', '/trigger', body)).toMatchObject([
      200,
      { runId, disposition: 'idempotent' },
    ])
    await world.settle()
    expect(await json('GET', `/run?runId=${runId}`)).toMatchObject([
      200,
      { id: runId, status: 'completed', output: '2026-01-02T03:04:05.000Z', payload: { url: 'x' } },
    ])
    expect(await json('GET', `/steps?runId=${runId}`)).toMatchObject([
      200,
      [{ name: 'read', status: 'completed', output: '2026-01-02T03:04:05.000Z' }],
    ])
    expect(await json('GET', `/logs?runId=${runId}`)).toMatchObject([
      200,
      [{ level: 'info', message: 'reading', data: { url: 'x' } }],
    ])
    expect(await json('GET', '/health')).toEqual([200, { status: 'ok' }])
    expect((await ask('HEAD', '/health')).status).toBe(200)
  })

  test('what JSON has no word for is shown as near to it as can be', async () => {
    const world = await open()
    const { json, trigger } = await begin(world)
    const id = await trigger('odd', null)
    await world.settle()
    expect(await json('GET', `/run?runId=${id}`)).toMatchObject([200, { output: [['big', '1']] }])
  })

  test('bytes and the parameters of an address are shown, not an object with nothing in it', async () => {
    const world = await open()
    const { json, jobs } = await begin(world)
    const { id } = await jobs.echo.trigger({
      buffer: new Uint8Array([1, 255]).buffer,
      view: new Uint8Array([2]),
      search: new URLSearchParams({ q: 'a b' }),
    })
    await world.settle()
    const output = { buffer: [1, 255], view: [2], search: 'q=a+b' }
    expect(await json('GET', `/run?runId=${id}`)).toMatchObject([200, { output }])
  })

  test('what leads back to itself is shown as far as it goes, in answers and events', async () => {
    const world = await open()
    const { ask, jobs } = await begin(world)
    const ring: Record<string, unknown> = { a: [1], set: new Set([2]), at: new Date(0) }
    ring.ring = new Map([['back', ring]])
    const { id } = await jobs.echo.trigger(ring)
    await world.settle()
    const shown = `{"a":[1],"set":[2],"at":"1970-01-01T00:00:00.000Z","ring":[["back","[cycle]"]]}`
    for (const path of [`/run?runId=${id}`, '/runs', `/subscribe?runId=${id}`]) {
      const response = await ask('GET', path)
      expect([response.status, await response.text()]).toEqual([
        200,
        expect.stringContaining(shown),
      ])
    }
  })

  test.each([
    ['nothing', []],
    ['a long key', { ['k'.repeat(300)]: 1 }],
    ['a key longer than all there may be', { ['k'.repeat(500_000)]: 1 }],
    ['a long text', 'x'.repeat(500_000)],
    ['text that is longer as JSON', { text: '\0'.repeat(100) }],
    ['a text that is an object', [Object('x'.repeat(100))]],
    ['numbers', [-Math.PI * 1e-300, 10n ** 300n, true, null]],
    ['a pattern', [new RegExp('x'.repeat(300))]],
    ['bytes', [new Uint8Array(10).fill(255)]],
  ])('what is shared is shown wherever it is, but not without end: %s', async (_, bottom) => {
    const world = await open()
    const { ask, jobs } = await begin(world)
    const shared = { n: 1 }
    let doubled: unknown = bottom
    for (let i = 0; i < 40; i++) doubled = [doubled, doubled]
    const { id } = await jobs.echo.trigger({ twice: [shared, shared], doubled, at: new Date(0) })
    const text = await (await ask('GET', `/run?runId=${id}`)).text()
    expect(text).toContain('"twice":[{"n":1},{"n":1}]')
    expect(text).toContain('[again]')
    const most = 4 * 1024 * 1024
    expect(text.length).toBeGreaterThan(0.8 * most)
    // What stands there once, and the last that began before it was too much.
    expect(text.length).toBeLessThan(most + 1_600_000)
  })

  test('a run is acted on', async () => {
    const world = await open()
    const { json, trigger } = await begin(world)
    const id = await trigger('waits', 1)
    await world.advance(60)
    const done = [200, { success: true }]
    expect(await json('POST', `/cancel?runId=${id}`)).toEqual(done)
    expect(await json('POST', `/retry?runId=${id}`)).toEqual(done)
    await world.advance(60)
    const sent = await json('POST', `/signal?runId=${id}`, { name: 'go', data: 7, id: 'once' })
    expect(sent).toEqual(done)
    await world.settle()
    expect(await json('GET', `/run?runId=${id}`)).toMatchObject([200, { output: 7 }])
    expect(await json('POST', `/retrigger?runId=${id}`)).toMatchObject([
      200,
      { success: true, runId: isText },
    ])
    expect(await json('DELETE', `/run?runId=${id}`)).toEqual(done)
    expect(await json('GET', `/run?runId=${id}`)).toEqual([
      404,
      { error: { code: 'not-found', message: `Run not found: ${id}` } },
    ])
  })

  test('runs are read page by page', async () => {
    const world = await open()
    const { json, trigger } = await begin(world)
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.unshift(await trigger('import-csv', { url: `${i}` }))
    await world.settle()
    const idsOf = (page: unknown) => (page as { runs: { id: string }[] }).runs.map(({ id }) => id)
    const [, first] = await json('GET', '/runs?jobName=import-csv&status=completed&limit=3')
    expect(idsOf(first)).toEqual(ids.slice(0, 3))
    expect(first).toMatchObject({ hasMore: true, nextCursor: ids[2] })
    const [, rest] = await json('GET', `/runs?status=completed&status=failed&cursor=${ids[2]}`)
    expect(idsOf(rest)).toEqual(ids.slice(3))
    expect(rest).toMatchObject({ hasMore: false, nextCursor: null })
  })

  test.each([
    ['POST', '/trigger', { input: 1 }, 400, 'jobName is required'],
    ['POST', '/trigger', { jobName: 'none' }, 404, 'Job not found: none'],
    ['POST', '/trigger', { jobName: 'constructor' }, 404, 'Job not found: constructor'],
    ['POST', '/trigger', { jobName: 'odd', runAt: 'soon' }, 400, /runAt must be a time in ISO/],
    ['POST', '/trigger', { jobName: 'odd', runAt: '1' }, 400, /runAt must be a time in ISO/],
    ['POST', '/trigger', { jobName: 'odd', runAt: '03/04/2030' }, 400, /got '03\/04\/2030'/],
    [
      'POST',
      '/trigger',
      { jobName: 'odd', runAt: '2030-13-01' },
      400,
      /runAt must be a time in ISO/,
    ],
    ['POST', '/trigger', { jobName: 'odd', priority: 101 }, 400, /priority must be a whole number/],
    ['POST', '/trigger', { jobName: 'odd', labels: { a: 1 } }, 400, /label "a" must be a string/],
    ['POST', '/trigger', '{"a":', 400, /the body is not valid/],
    ['POST', '/trigger', '[1]', 400, /the body must be a JSON object/],
    ['GET', '/run', undefined, 400, 'runId query parameter is required'],
    ['GET', '/runs?limit=1001', undefined, 400, /limit must be from 1 to 1000/],
    ['GET', '/runs?limit=-1', undefined, 400, /limit must be a whole number; got '-1'/],
    ['GET', '/runs?status=done', undefined, 400, /status must be one of/],
    ['GET', '/runs?offset=10001', undefined, 400, /Use cursor/],
    [
      'GET',
      '/runs?jobname=odd',
      undefined,
      400,
      "unknown parameter 'jobname'; the parameters are jobName, status, limit, offset, cursor, label.<name>",
    ],
    ['GET', '/runs?labels.a=b', undefined, 400, /^unknown parameter 'labels.a'/],
    ['GET', '/runs?jobName=odd&jobName=x', undefined, 400, /^jobName must stand in the query once/],
    ['GET', '/runs?label.a=b&label.a=c', undefined, 400, /^label.a must stand in the query once/],
    [
      'GET',
      '/run?runId=x&runId=y',
      undefined,
      400,
      'runId must stand in the query once; got it 2 times',
    ],
    [
      'GET',
      '/runs/subscribe?token=x&status=failed',
      undefined,
      400,
      "unknown parameter 'status'; the parameters are jobName, label.<name>",
    ],
    ['GET', '/runs/subscribe?job_name=odd', undefined, 400, /^unknown parameter 'job_name'/],
    ['GET', '/subscribe?runId=none', undefined, 404, 'Run not found: none'],
    ['POST', '/cancel?runId=none', undefined, 404, 'Run not found: none'],
    ['POST', '/tokens/none', { data: 1 }, 404, /no such token/],
    ['POST', '/tokens/none', '', 404, /no such token/],
    ['POST', '/signal?runId=none', '', 404, 'Run not found: none'],
    ['POST', '/trigger', '', 400, /the body is not valid/],
    ['POST', '/tokens/%E0', {}, 400, /not well encoded/],
    ['PUT', '/run?runId=x', {}, 405, 'PUT is not allowed here; allowed: GET, DELETE'],
    ['GET', '/nothing', undefined, 404, `There is nothing at ${BASE}/nothing`],
    ['GET', '/toString', undefined, 404, `There is nothing at ${BASE}/toString`],
    ['GET', `${BASE}/runs`, undefined, 404, `There is nothing at ${BASE}${BASE}/runs`],
  ])('%s %s %j is answered with %i', async (method, path, body, status, message) => {
    const world = await open()
    const { json } = await begin(world)
    expect(await json(method, path, body)).toEqual([
      status,
      {
        error: {
          code: isText,
          message:
            typeof message === 'string' ? message : (expect.stringMatching(message) as string),
        },
      },
    ])
  })

  test('what is sent beside the data of a token or signal uses neither up', async () => {
    const world = await open()
    const { json, trigger } = await begin(world)
    const id = await trigger('odd', null)
    expect(await json('POST', '/tokens/any', { approved: true })).toMatchObject([
      400,
      { error: { message: 'unknown field "approved"; the fields are data' } },
    ])
    expect(await json('POST', `/signal?runId=${id}`, { name: 'go', payload: 1 })).toMatchObject([
      400,
      { error: { message: 'unknown field "payload"; the fields are name, data, id' } },
    ])
  })

  test('a wrong method is told which are right', async () => {
    const world = await open()
    const { ask } = await begin(world)
    const response = await ask('PATCH', '/run?runId=x')
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, DELETE'])
  })

  test('a bad input is answered with what is wrong where', async () => {
    const world = await open()
    const { json } = await begin(world)
    const body = { jobName: 'import-csv', input: { url: 1 } }
    expect(await json('POST', '/trigger', body)).toMatchObject([
      400,
      {
        error: {
          code: 'validation',
          message: expect.stringMatching(/^Invalid input: /) as string,
          issues: [{ path: ['url'] }],
        },
      },
    ])
  })

  test('of a thousand mistakes the first are told, and how many more there are', async () => {
    const world = await open()
    const { json } = await begin(world)
    const input = Array.from({ length: 1000 }, () => 0)
    const [status, answer] = await json('POST', '/trigger', { jobName: 'names', input })
    const { message, issues } = (answer as { error: { message: string; issues: unknown[] } }).error
    expect([status, issues.length]).toEqual([400, 20])
    expect(message).toMatch(/^Invalid input: 0: .*; 19: [^;]*; and 980 more$/)
  })

  test('a body must be JSON, and no larger than is allowed, whatever it says of its length', async () => {
    const world = await open()
    const { ask, handler } = await begin(world, { maxBodyBytes: 100 })
    const form = await ask('POST', '/trigger', '{}', { 'content-type': 'text/plain' })
    expect(form.status).toBe(400)
    expect(await form.text()).toContain('Content-Type must be application/json')
    expect((await ask('POST', '/trigger', { jobName: 'x'.repeat(100) })).status).toBe(413)
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 60
        controller.enqueue(new Uint8Array(60).fill(32))
      },
    })
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body, duplex: 'half' } as RequestInit
    const endless = handler.handle(new Request(`http://app.test${BASE}/trigger`, init), BASE)
    expect((await world.until(endless)).status).toBe(413)
    expect(sent).toBeLessThan(400)
  })

  test('a body that is not in UTF-8 is refused, not stored with its letters lost', async () => {
    const world = await open()
    const { handler } = await begin(world)
    const latin1 = Buffer.from('{"jobName":"odd","input":"Zoë"}', 'latin1')
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: latin1 }
    const request = new Request(`http://app.test${BASE}/trigger`, init)
    const response = await world.until(handler.handle(request, BASE))
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { message: 'the body is not valid: it is not in UTF-8' } },
    ])
  })

  test('what breaks inside is not told, but reported', async () => {
    const world = await open()
    const errors: unknown[] = []
    const { json, wire } = await begin(world, { onError: (error) => errors.push(error) })
    const broken = new Error('password of the database: hunter2')
    wire.intercept((operation, proceed) =>
      operation === 'run' ? Promise.reject(broken) : proceed(),
    )
    expect(await json('GET', '/run?runId=x')).toEqual([
      500,
      { error: { code: 'internal', message: 'Internal error' } },
    ])
    expect(errors).toEqual([broken])
    wire.intercept(null)
  })

  test('of what is stored and cannot be read it is told that, and no more', async () => {
    const world = await open()
    const { jobs } = await world.work({ echo }, { codec: { ...richCodec } })
    const { id } = await jobs.echo.triggerAndWait('mine')
    const decode = (): never => {
      throw new Error('the key of tenant 7 is gone')
    }
    const errors: unknown[] = []
    const other = await world.join({ codec: { ...richCodec, decode } })
    const { ask, json } = serve(world, other, { onError: (error) => errors.push(error) })
    const message = 'What is stored of this cannot be read: the server knows more'
    const answer = [500, { error: { code: 'unreadable', message } }]
    expect(await json('GET', `/run?runId=${id}`)).toEqual(answer)
    expect(await json('GET', `/subscribe?runId=${id}&after=0`)).toEqual(answer)
    expect(errors.map(String)).toEqual(Array(2).fill(expect.stringContaining('tenant 7')))
    const list = await (await ask('GET', '/runs')).text()
    expect(list).toContain(`Cannot read the output of run ${id}`)
    expect(list).not.toContain('tenant 7')
  })

  test('a handler that is not told where it is mounted says so', async () => {
    const world = await open()
    const errors: unknown[] = []
    const { handler } = await begin(world, { onError: (error) => errors.push(error) })
    const request = new Request('http://app.test/api/durably/runs')
    const { status } = await world.until(handler.handle(request, undefined as never))
    expect([status, String(errors[0])]).toEqual([
      500,
      "TypeError: handle(request, basePath): basePath must say where the handler is mounted, like '/api/durably'; got undefined",
    ])
  })

  test('names that every object has are values like others', async () => {
    const world = await open()
    const { json, trigger } = await begin(world)
    const id = await trigger('odd', null)
    const text =
      '{"jobName":"odd","input":{"__proto__":{"isAdmin":true}},"__proto__":{"priority":5}}'
    const [status, answer] = await json('POST', '/trigger', text)
    expect(status).toBe(400)
    expect(answer).toMatchObject({
      error: { message: expect.stringContaining('__proto__') as string },
    })
    expect(Object.hasOwn(Object.prototype, 'isAdmin')).toBe(false)
    expect(id).toBeTruthy()
  })

  test('a handler says which of its options is wrong', async () => {
    const world = await open()
    const process = await world.join()
    const bad = (options: unknown) => () => handlerOf(process, options as HandlerOptions)
    expect(bad({ auth: {} })).toThrow('auth must have the function authenticate; got an object')
    expect(bad({ cors: '*' })).toThrow("cors must be a list of origins; got '*'")
    expect(bad({ cors: ['app.test'] })).toThrow('cors must list origins like')
    expect(bad({ maxBodyBytes: 0 })).toThrow('maxBodyBytes must be a whole number')
    expect(bad({ onRequest: true })).toThrow('onRequest must be a function; got true')
    expect(() => handlerOf({ ...process, durably: {} as typeof process.durably })).toThrow(
      'durably must have the functions',
    )
  })
})
