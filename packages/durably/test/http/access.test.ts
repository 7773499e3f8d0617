import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Access } from '../../src/http/access.ts'
import type { HandlerOptions } from '../../src/http/handler.ts'
import { overHttp } from '../client/clients.ts'
import { inMemory, job, type World } from '../conformance/api/world.ts'
import { serve } from './server.ts'

const secret = { card: '4000 0000 0000 0002' }

const pays = job(async (step, payload) => {
  step.log.info('paying', payload)
  return step.run('pay', () => payload)
}, 'pays')
const mails = job((step) => step.waitForSignal('go'), 'mails')
const fails = job(() => {
  throw new Error('out of ink', { cause: new Error('no more ink') })
}, 'fails')

/** Runs of two tenants, and a server for whoever has the access. */
async function begin(world: World, access: Access | null, options: HandlerOptions = {}) {
  const process = await world.work({ pays, mails, fails })
  const run = async (name: 'pays' | 'mails' | 'fails', tenant: string): Promise<string> => {
    const { id } = await process.jobs[name].trigger(secret, { labels: { tenant } })
    await world.advance(60)
    return id
  }
  const own = await run('pays', 'own')
  const other = await run('pays', 'other')
  const server = serve(world, process, { auth: { authenticate: () => access }, ...options })
  return { ...process, ...server, run, own, other }
}

const routes = [
  ['GET', '/health'],
  ['POST', '/trigger'],
  ['GET', '/runs'],
  ['GET', '/runs/subscribe'],
  ['GET', '/run?runId=x'],
  ['DELETE', '/run?runId=x'],
  ['GET', '/steps?runId=x'],
  ['GET', '/logs?runId=x'],
  ['GET', '/subscribe?runId=x'],
  ['POST', '/retry?runId=x'],
  ['POST', '/cancel?runId=x'],
  ['POST', '/retrigger?runId=x'],
  ['POST', '/signal?runId=x'],
  ['POST', '/tokens/x'],
  ['POST', '/tokens/%E0'],
  ['GET', '/nothing'],
] as const

const own: Access = { scope: { labels: { tenant: 'own' } } }

inMemory((open) => {
  test.each(routes)('%s %s is for nobody unless someone says so', async (method, path) => {
    const world = await open()
    let asked = 0
    const authenticate = () => {
      asked++
      return asked === 1 ? undefined : null
    }
    const onRequest = () => expect.unreachable('a request that was not let in')
    const { json } = await begin(world, null, { auth: { authenticate }, onRequest })
    for (let i = 0; i < 2; i++) {
      expect(await json(method, path, method === 'POST' ? {} : undefined)).toEqual([
        401,
        { error: { code: 'unauthenticated', message: 'You are not signed in' } },
      ])
    }
    expect(asked).toBe(2)
  })

  test.each([
    [false, 401],
    [true, 500],
    ['admin', 500],
    [0, 500],
    [[], 500],
    [{ scopes: {} }, 500],
    [{ may: 'everything' }, 500],
    [{ scope: { label: { tenant: 'own' } } }, 500],
    [{ scope: { labels: { tenant: undefined } } }, 500],
    [{ scope: { jobNames: 'pays' } }, 500],
    [{ scope: { jobNames: [undefined] } }, 500],
  ])(
    'an authenticate that answers %j, which is no access, lets nobody in',
    async (answer, status) => {
      const world = await open()
      const authenticate = () => answer as never
      const { ask } = await begin(world, null, { auth: { authenticate }, onError: () => {} })
      expect((await ask('GET', '/runs')).status).toBe(status)
    },
  )

  test('a report that fails does not keep the answer', async () => {
    const world = await open()
    const authenticate = () => Promise.reject(new Error('session store is away'))
    const onError = () => {
      throw new Error('log is full')
    }
    const { ask } = await begin(world, null, { auth: { authenticate }, onError })
    expect((await ask('GET', '/runs')).status).toBe(500)
  })

  test('whoever asks is asked for before anything of the request is read', async () => {
    const world = await open()
    const { ask } = await begin(world, null)
    expect((await ask('POST', '/trigger', 'no JSON')).status).toBe(401)
  })

  test('a run beyond the scope does not exist, to whatever is asked of it', async () => {
    const world = await open()
    const { json, other, durably } = await begin(world, own)
    const none = [404, { error: { code: 'not-found', message: `Run not found: ${other}` } }]
    for (const [method, path] of routes.filter(([, route]) => route.includes('runId'))) {
      const body = method === 'POST' ? { name: 'go' } : undefined
      expect(await json(method, path.replace('x', other), body)).toEqual(none)
    }
    expect(await durably.getRun(other)).toMatchObject({ status: 'completed' })
  })

  test('lists have what is in the scope, whatever the query wants', async () => {
    const world = await open()
    const server = await begin(world, own)
    const idsOf = async (query: string) => {
      const [, page] = await server.json('GET', `/runs${query}`)
      return (page as { runs: { id: string }[] }).runs.map(({ id }) => id)
    }
    expect(await idsOf('')).toEqual([server.own])
    expect(await idsOf('?label.tenant=own')).toEqual([server.own])
    expect(await idsOf('?label.tenant=other')).toEqual([])
    const both = await server.ask('GET', '/runs?label.tenant=own&label.tenant=other')
    expect(both.status).toBe(400)
    expect(await idsOf('?jobName=mails')).toEqual([])
  })

  test('a scope of jobs leaves the others out, and their runs in one order', async () => {
    const world = await open()
    const server = await begin(world, { scope: { jobNames: ['pays', 'mails', 'pays'] } })
    const mail = await server.run('mails', 'own')
    const failed = await server.run('fails', 'own')
    const idsOf = async (query: string) => {
      const [, page] = await server.json('GET', `/runs${query}`)
      return (page as { runs: { id: string }[] }).runs.map(({ id }) => id)
    }
    expect(await idsOf('')).toEqual([mail, server.other, server.own])
    expect(await idsOf('?limit=2')).toEqual([mail, server.other])
    expect(await idsOf(`?limit=2&cursor=${server.other}`)).toEqual([server.own])
    expect(await idsOf('?jobName=fails')).toEqual([])
    expect((await server.ask('GET', `/run?runId=${failed}`)).status).toBe(404)
    const body = { jobName: 'fails', input: 1 }
    expect((await server.ask('POST', '/trigger', body)).status).toBe(404)
  })

  test('what is triggered is in the scope, or is not triggered', async () => {
    const world = await open()
    const { json, durably } = await begin(world, own)
    const [, answer] = await json('POST', '/trigger', { jobName: 'pays', labels: { kind: 'x' } })
    const { runId } = answer as { runId: string }
    expect(await durably.getRun(runId)).toMatchObject({ labels: { kind: 'x', tenant: 'own' } })
    const widened = { jobName: 'pays', labels: { tenant: 'other' } }
    expect(await json('POST', '/trigger', widened)).toMatchObject([
      403,
      { error: { code: 'forbidden' } },
    ])
  })

  test("a key of someone else's run does not lead to that run", async () => {
    const world = await open()
    const { json, jobs } = await begin(world, own)
    const run = await jobs.pays.trigger(1, { labels: { tenant: 'other' }, idempotencyKey: 'k' })
    const [status, answer] = await json('POST', '/trigger', {
      jobName: 'pays',
      idempotencyKey: 'k',
    })
    expect(status).toBe(409)
    expect(JSON.stringify(answer)).not.toContain(run.id)
  })

  test('nor does a key of a run that may not be read', async () => {
    const world = await open()
    const may: Access['may'] = (operation, target) =>
      operation === 'trigger' || target?.labels.owner === 'eve'
    const { json, jobs } = await begin(world, { may })
    const run = await jobs.pays.trigger(secret, { labels: { owner: 'ada' }, idempotencyKey: 'k' })
    const body = { jobName: 'pays', idempotencyKey: 'k', labels: { owner: 'eve' } }
    const [status, answer] = await json('POST', '/trigger', body)
    expect(status).toBe(409)
    expect(JSON.stringify(answer)).not.toMatch(new RegExp(`${run.id}|${secret.card}`))
    const mine = { ...body, idempotencyKey: 'mine' }
    expect(await json('POST', '/trigger', mine)).toMatchObject([200, { disposition: 'created' }])
    expect(await json('POST', '/trigger', mine)).toMatchObject([200, { disposition: 'idempotent' }])
  })

  test('of a run that may be triggered and not read there is no more than its id', async () => {
    const world = await open()
    const { json, own: id } = await begin(world, { may: (operation) => operation !== 'read' })
    const calls = [
      ['/trigger', { jobName: 'pays', input: secret }],
      [`/retrigger?runId=${id}`, undefined],
    ] as const
    for (const [path, body] of calls) {
      const [status, answer] = await json('POST', path, body)
      const { runId, run } = answer as { runId: string; run: object }
      expect([status, run]).toEqual([200, { id: runId }])
    }
  })

  test('labels of the scope that the schema of labels leaves out are a mistake of the server', async () => {
    const world = await open()
    const labels = z.object({ team: z.string() })
    const process = await world.work({ pays }, { labels })
    const errors: unknown[] = []
    const onError = (error: unknown) => void errors.push(error)
    const { json } = serve(world, process, { auth: { authenticate: () => own }, onError })
    const body = { jobName: 'pays', labels: { team: 'x' } }
    expect(await json('POST', '/trigger', body)).toMatchObject([500, {}])
    expect(String(errors[0])).toMatch(
      /was made with the labels \{"team":"x"\}: the labels schema of createDurably must keep those of the scope, \{"tenant":"own"\}/,
    )
  })

  test('what may be done is asked for each operation', async () => {
    const world = await open()
    const asked: unknown[] = []
    const may: Access['may'] = (operation, target) => {
      asked.push([operation, target !== null && 'id' in target ? target.id : target])
      return operation === 'read'
    }
    const server = await begin(world, { may })
    const id = server.own
    expect((await server.ask('GET', `/run?runId=${id}`)).status).toBe(200)
    for (const operation of ['cancel', 'retry', 'retrigger', 'signal']) {
      expect((await server.ask('POST', `/${operation}?runId=${id}`, {})).status).toBe(403)
    }
    expect((await server.ask('DELETE', `/run?runId=${id}`)).status).toBe(403)
    expect((await server.ask('POST', '/tokens/x', {})).status).toBe(403)
    expect((await server.ask('POST', '/trigger', { jobName: 'pays', input: 7 })).status).toBe(403)
    expect(asked).toEqual([
      ['read', id],
      ['cancel', id],
      ['retry', id],
      ['retrigger', id],
      ['signal', id],
      ['delete', id],
      ['completeToken', null],
      ['trigger', { jobName: 'pays', input: 7, labels: {} }],
    ])
  })

  test('runs that may not be read are left out of lists', async () => {
    const world = await open()
    const may: Access['may'] = async (_, target) => target?.labels.tenant === 'own'
    const server = await begin(world, { may })
    expect(await server.json('GET', '/runs')).toMatchObject([200, { runs: [{ id: server.own }] }])
  })

  test('only true lets a run be read, in lists too', async () => {
    const world = await open()
    for (const answer of [undefined, null, 0, 'yes', 1]) {
      const server = await begin(world, { may: () => answer as never })
      expect(await server.json('GET', '/runs')).toMatchObject([200, { runs: [] }])
      expect((await server.ask('GET', `/run?runId=${server.own}`)).status).toBe(403)
    }
  })

  test('payloads and results of a job can be kept back everywhere', async () => {
    const world = await open()
    const access = { hidePayload: (jobName: string) => jobName === 'pays' }
    const { ask, own: id, run } = await begin(world, access)
    const paths = [
      '/runs?jobName=pays',
      '/run?runId=',
      '/steps?runId=',
      '/logs?runId=',
      '/subscribe?runId=',
    ]
    for (const path of paths) {
      const text = await (await ask('GET', path.endsWith('=') ? `${path}${id}` : path)).text()
      expect(text).toContain(path.includes('/runs') ? id : 'null')
      expect(text).not.toContain(secret.card)
    }
    const triggered = await ask('POST', '/trigger', { jobName: 'pays', input: secret })
    expect(await triggered.text()).not.toContain(secret.card)
    const mail = await run('mails', 'own')
    expect(await (await ask('GET', `/run?runId=${mail}`)).text()).toContain(secret.card)
  })

  test('stacks, which name the files of the server, are shown to those alone who may see them', async () => {
    for (const showStacks of [false, true]) {
      const world = await open()
      const { ask, run } = await begin(world, { showStacks })
      const id = await run('fails', 'own')
      for (const path of [`/run?runId=${id}`, `/subscribe?runId=${id}`]) {
        const text = await (await ask('GET', path)).text()
        expect(text).toContain('no more ink')
        expect(text.includes('access.test.ts')).toBe(showStacks)
      }
    }
  })

  test('what goes wrong inside is told to those alone who may see stacks', async () => {
    for (const showStacks of [false, true]) {
      const world = await open()
      const tries = job(
        (step) =>
          step.run('try', () => Promise.reject(new Error('no')), {
            retry: {
              retryIf() {
                throw new Error('postgres://app:hunter2@db')
              },
            },
          }),
        'tries',
      )
      const process = await world.work({ tries })
      const server = serve(world, process, { auth: { authenticate: () => ({ showStacks }) } })
      const { id } = await process.jobs.tries.trigger(null, { delay: 1000 })
      const following = server.ask('GET', `/subscribe?runId=${id}`)
      await world.advance(2000)
      const text = await (await following).text()
      const [error] = text.split('\n').filter((line) => line.includes('"worker:error"'))
      expect(error).toContain(showStacks ? 'hunter2' : '"error":"Internal error"')
      expect(text.includes('hunter2')).toBe(showStacks)
      expect(error).toContain('"sequence":1')
      expect(process.takeErrors()).toHaveLength(1)
    }
  })

  test('of a page far back no more is read than is shown, or it is refused', async () => {
    const world = await open()
    const server = await begin(world, { scope: { jobNames: ['pays'] } })
    const asked: unknown[] = []
    const { getRuns } = server.durably
    server.durably.getRuns = (filter) => {
      asked.push(filter)
      return getRuns(filter)
    }
    const [, page] = await server.json('GET', '/runs?limit=1&offset=1')
    expect(page).toMatchObject({ runs: [{ id: server.own }], hasMore: false })
    expect(asked).toMatchObject([{ offset: 1, limit: 2 }])
    const two = serve(world, server, {
      auth: { authenticate: () => ({ scope: { jobNames: ['pays', 'mails'] } }) },
    })
    expect(await two.json('GET', '/runs?limit=1&offset=1')).toMatchObject([
      200,
      { runs: [{ id: server.own }] },
    ])
    expect(await two.json('GET', '/runs?offset=1001')).toMatchObject([
      400,
      { error: { code: 'validation' } },
    ])
  })

  test('lists hear of runs in the scope, and nothing of others', async () => {
    const world = await open()
    const server = await begin(world, own)
    const client = overHttp(server, { auth: { authenticate: () => own } })
    const reader = client.subscribeRuns().getReader()
    const first = reader.read()
    await world.settle()
    await server.run('fails', 'other')
    await server.run('fails', 'own')
    let heard = await world.until(first)
    while (heard.value?.type === 'run:changed') heard = await world.until(reader.read())
    expect(heard.value).toMatchObject({
      type: 'run:trigger',
      jobName: 'fails',
      labels: { tenant: 'own' },
    })
    await reader.cancel()
  })

  const both: Access = { scope: { jobNames: ['mails', 'fails'], labels: { tenant: 'own' } } }
  const reader: Access = { may: () => true }
  test.each([
    [own, '?label.tenant=other', false],
    [own, '?label.tenant=other&label.kind=x', false],
    [own, '?label.kind=x', false],
    [own, '?jobName=mails', false],
    [own, '?jobName=pays', true],
    [both, '', false],
    [both, '?jobName=pays', false],
    // Whoever may hear but that something changed is not to learn of what by asking for it.
    [reader, '?label.tenant=nobody', true],
    [reader, '?label.tenant=other', true],
  ])('of what others do nobody hears by asking for it: %j, %s', async (access, query, hears) => {
    const world = await open()
    const { ask, run } = await begin(world, access)
    const { body } = await ask('GET', `/runs/subscribe${query}`)
    if (body === null) throw new Error('no stream')
    const stream = body.pipeThrough(new TextDecoderStream()).getReader()
    let heard = ''
    const listening = (async () => {
      for (let next = await stream.read(); !next.done; next = await stream.read()) {
        heard += next.value
      }
    })()
    await world.settle()
    heard = ''
    await run('pays', 'other')
    await run('pays', 'own')
    await world.settle()
    expect([heard.includes('data:'), heard.includes('other')]).toEqual([hears, false])
    // What is left out puts off no heartbeat.
    for (let i = 0; i < 3; i++) {
      await world.advance(7000)
      await run('pays', 'other')
    }
    expect(heard).toMatch(access === reader ? /changed/ : /^:$/m)
    await world.until(stream.cancel())
    await listening
  })

  test.each([
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' }, 403],
    [{ 'sec-fetch-site': 'cross-site', origin: 'https://friend.test' }, 200],
    [{ 'sec-fetch-site': 'same-origin', origin: 'http://app.test' }, 200],
    [{ 'sec-fetch-site': 'same-site', origin: 'http://www.app.test' }, 403],
    [{ 'sec-fetch-site': 'same-site', origin: 'https://friend.test' }, 200],
    [{ 'sec-fetch-site': 'none' }, 200],
    // Browsers that do not mark requests, and what is no browser.
    [{ origin: 'https://evil.test' }, 403],
    [{ origin: 'null' }, 403],
    [{ origin: 'http://app.test' }, 200],
    [{}, 200],
  ])('a request with %j is answered with %i', async (headers, status) => {
    const world = await open()
    const { ask } = await begin(world, {}, { cors: ['https://friend.test'] })
    const response = await ask('POST', '/trigger', { jobName: 'pays', input: 1 }, headers)
    expect(response.status).toBe(status)
    const isFriend = (headers as { origin?: string }).origin === 'https://friend.test'
    const allowed = response.headers.get('access-control-allow-origin')
    expect(allowed).toBe(isFriend ? 'https://friend.test' : null)
  })

  test('a browser that asks beforehand is answered for listed origins alone', async () => {
    const world = await open()
    const { ask } = await begin(world, null, { cors: ['https://friend.test'] })
    const preflight = (origin: string) =>
      ask('OPTIONS', '/run?runId=x', undefined, {
        origin,
        'sec-fetch-site': 'cross-site',
        'access-control-request-method': 'DELETE',
        'access-control-request-headers': 'content-type',
      })
    const friend = await preflight('https://friend.test')
    expect(friend.status).toBe(204)
    expect(Object.fromEntries(friend.headers)).toMatchObject({
      'access-control-allow-origin': 'https://friend.test',
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET, DELETE',
      'access-control-allow-headers': 'content-type',
      vary: 'origin',
    })
    expect((await preflight('https://evil.test')).status).toBe(403)
  })

  test('a client with a token in its header is who it says', async () => {
    const world = await open()
    const server = await begin(world, null, {
      auth: {
        authenticate: (request) =>
          request.headers.get('authorization') === 'Bearer good' ? own : null,
      },
    })
    const bearer = { authorization: 'Bearer good' }
    expect((await server.ask('GET', '/runs', undefined, bearer)).status).toBe(200)
    expect((await server.ask('GET', '/runs')).status).toBe(401)
  })

  test('an error of whoever is asked for access lets nobody in', async () => {
    const world = await open()
    const errors: unknown[] = []
    const authenticate = () => Promise.reject(new Error('session store is away'))
    const onError = (error: unknown) => void errors.push(error)
    const { json } = await begin(world, null, { auth: { authenticate }, onError })
    expect(await json('GET', '/runs')).toMatchObject([
      500,
      { error: { message: 'Internal error' } },
    ])
    expect(errors).toHaveLength(1)
  })
})
