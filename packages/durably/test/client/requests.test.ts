import { expect, test } from 'vitest'
import { createHttpClient } from '../../src/client/http-client.ts'
import { ValidationError } from '../../src/core/error.ts'
import { createEnv } from '../../src/env.ts'
import { RICH_TYPE } from '../../src/core/wire.ts'

/** What a trigger with this input sends. */
async function bodyOf(input: unknown): Promise<string> {
  let sent: BodyInit | null | undefined
  const client = createHttpClient(
    {
      api: 'http://app.test',
      fetch: async (_, init) => {
        sent = init?.body
        const answer = '{"format":"json","value":{"run":{"id":"1"},"disposition":"created"}}'
        return new Response(answer, { headers: { 'content-type': RICH_TYPE } })
      },
    },
    createEnv(),
  )
  await client.getJob('any')?.trigger(input)
  return sent as string
}

test('what is shared at every level is written once, and not walked as often as it is there', async () => {
  let tree: unknown = [1]
  for (let level = 0; level < 20; level++) tree = { left: tree, right: tree }
  expect((await bodyOf(tree)).length).toBeLessThan(2000)
})

test('many rows of plain JSON are sent as that, deep ones too', async () => {
  const rows = Array.from({ length: 5000 }, (_, i) => ({ id: i, name: `row ${i}` }))
  expect(JSON.parse(await bodyOf(rows))).toMatchObject({ format: 'json', value: { input: rows } })
  let deep: unknown = null
  for (let level = 0; level < 100; level++) deep = [deep]
  expect(JSON.parse(await bodyOf(deep))).toMatchObject({ format: 'json', value: { input: deep } })
})

test('an object within itself is not sent as plain JSON', async () => {
  const cycle: unknown[] = []
  cycle.push(cycle)
  expect(await bodyOf(cycle)).toMatch(/^\{"format":"rich"/)
})

test('an option that is misspelt is refused, as everywhere', () => {
  const options = { api: 'http://app.test', header: { authorization: 'Bearer 1' } }
  expect(() => createHttpClient(options, createEnv())).toThrow(
    new ValidationError('unknown option "header"; the options are api, fetch, headers'),
  )
})

test('what is left out of a request is sent as nothing, not in the form that must be decoded', async () => {
  expect(JSON.parse(await bodyOf(undefined))).toEqual({ format: 'json', value: { jobName: 'any' } })
})

test('an event in thousands of pieces is read once, not again with each piece', async () => {
  const event = { type: 'log:write', sequence: 1, message: 'x'.repeat(2 ** 20) }
  const bytes = new TextEncoder().encode(
    `data: ${JSON.stringify({ format: 'json', value: event })}\n\n`,
  )
  let sent = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(bytes.subarray(sent, (sent += 40)))
      if (sent >= bytes.length) controller.close()
    },
  })
  const client = createHttpClient(
    {
      api: 'http://app.test',
      fetch: async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
    },
    createEnv(),
  )
  const reader = client.subscribe('run').getReader()
  // Read again with each piece, it takes a minute.
  expect((await reader.read()).value).toEqual(event)
  await reader.cancel()
}, 5000)
