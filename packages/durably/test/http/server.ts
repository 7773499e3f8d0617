import type { HandlerOptions } from '../../src/http/handler.ts'
import { BASE, handlerOf } from '../client/clients.ts'
import type { Process, World } from '../conformance/api/world.ts'

/** A server of the process, and what a program without Durably's client sees of it. */
export function serve(world: World, process: Process, options: HandlerOptions = {}) {
  const handler = handlerOf(process, options)

  function ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const json = body === undefined ? {} : { 'content-type': 'application/json' }
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const request = new Request(`http://app.test${BASE}${path}`, {
      method,
      headers: { ...json, ...headers },
      ...(body === undefined ? {} : { body: text }),
    })
    return world.until(handler.handle(request, BASE))
  }

  async function json(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) {
    const response = await ask(method, path, body, headers)
    return [response.status, (await response.json()) as unknown] as const
  }

  return { handler, ask, json }
}
