import { createHandler, type DurablyHandler, type HandlerOptions } from '../../src/http/handler.ts'
import type { Client } from '../../src/client/client.ts'
import { createHttpClient } from '../../src/client/http-client.ts'
import type { Handles } from '../../src/core/handle.ts'
import type { Jobs } from '../../src/core/instance.ts'
import type { Process } from '../conformance/api/world.ts'

export const BASE = '/api/durably'

/** Passes a request on, or does with it what a network may do. */
export type Network = (request: Request, proceed: () => Promise<Response>) => Promise<Response>

type Server = Pick<Process, 'durably' | 'env'>

export function handlerOf({ durably, env }: Server, options: HandlerOptions = {}): DurablyHandler {
  return createHandler(durably, options, env)
}

/** A client of the process over HTTP, with nothing but a function for a network. */
export function overHttp(
  process: Server,
  options: HandlerOptions = {},
  network: Network = (_, proceed) => proceed(),
): Client {
  const handler = handlerOf(process, options)
  return createHttpClient(
    {
      api: `http://app.test${BASE}`,
      fetch: (input, init) => {
        const request = new Request(input, init)
        return network(request, () => handler.handle(request, BASE))
      },
    },
    process.env,
  )
}

type WorkerOf<T extends Jobs> = Process & { readonly jobs: Handles<T> }

/** What is a client: one suite passes over both. */
export const implementations: readonly {
  readonly name: string
  readonly connect: <T extends Jobs>(process: WorkerOf<T>) => Client<T>
}[] = [
  { name: 'in process', connect: (process) => process.durably },
  { name: 'over HTTP', connect: (process) => overHttp(process, { onError: () => {} }) },
]
