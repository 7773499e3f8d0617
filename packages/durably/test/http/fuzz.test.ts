import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RICH_TYPE } from '../../src/core/wire.ts'
import { BASE } from '../client/clients.ts'
import { inMemory, job } from '../conformance/api/world.ts'
import { serve } from './server.ts'

const paths = [
  '/health',
  '/trigger',
  '/runs',
  '/runs/subscribe',
  '/run',
  '/steps',
  '/logs',
  '/subscribe',
  '/retry',
  '/cancel',
  '/retrigger',
  '/signal',
  '/tokens/x',
  '',
]

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '',
    '\0',
    '__proto__',
    'constructor',
    '1e9',
    '-1',
    '9'.repeat(400),
    '%00',
    '\ud800',
  ),
)

const inputs = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE', 'PUT', 'PATCH'),
  path: fc.oneof(
    fc.constantFrom(...paths),
    text.map((t) => `/${encodeURIComponent(t.toWellFormed())}`),
  ),
  query: fc.dictionary(
    fc.oneof(
      fc.constantFrom(
        'runId',
        'jobName',
        'status',
        'limit',
        'offset',
        'cursor',
        'after',
        'label.a',
        'label.',
      ),
      text,
    ),
    text,
    { maxKeys: 4 },
  ),
  body: fc.oneof(
    fc.json(),
    text,
    fc
      .dictionary(
        fc.constantFrom(
          'jobName',
          'input',
          'labels',
          'runAt',
          'delay',
          'priority',
          'name',
          'data',
          'id',
          'format',
          'value',
        ),
        fc.oneof(fc.jsonValue(), fc.constantFrom('echo', 'rich', 'json')),
      )
      .map((body) => JSON.stringify(body)),
    fc.jsonValue().map((value) => JSON.stringify({ format: 'rich', value })),
  ),
  type: fc.constantFrom('application/json', RICH_TYPE, 'text/plain'),
  lastEventId: fc.option(text, { nil: undefined }),
})

inMemory((open) => {
  test('whatever is sent, the answer is a word of the protocol, and never our own fault', async () => {
    const world = await open()
    const process = await world.work({ echo: job((_, payload) => payload, 'echo') })
    const { id } = await process.jobs.echo.trigger(null)
    await world.settle()
    const errors: unknown[] = []
    const { handler } = serve(world, process, { onError: (error) => errors.push(error) })
    await fc.assert(
      fc.asyncProperty(inputs, async ({ method, path, query, body, type, lastEventId }) => {
        const search = new URLSearchParams(query)
        if (search.get('runId') === '1e9') search.set('runId', id)
        const headers = new Headers({ 'content-type': type })
        // Some text cannot be sent at all.
        if (lastEventId !== undefined && /^[\x20-\x7e]*$/.test(lastEventId)) {
          headers.set('last-event-id', lastEventId)
        }
        const url = `http://app.test${BASE}${path}?${search}`
        const init = { method, headers, ...(method === 'GET' ? {} : { body }) }
        const response = await world.until(handler.handle(new Request(url, init), BASE))
        expect([200, 204, 400, 404, 405, 409]).toContain(response.status)
        if (response.headers.get('content-type')?.startsWith('text/event-stream')) {
          await response.body?.cancel()
        } else if (response.status !== 204) {
          const answer = JSON.parse(await response.text()) as { error?: { code: unknown } }
          if (response.status !== 200) expect(typeof answer.error?.code).toBe('string')
        }
      }),
      { numRuns: 1000 },
    )
    expect(errors).toEqual([])
  })
})
