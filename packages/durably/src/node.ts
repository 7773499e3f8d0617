import type { IncomingMessage, ServerResponse } from 'node:http'
import { ReadableStream } from 'node:stream/web'
import { requireFunctions } from './core/options.ts'
import type { DurablyHandler } from './http/handler.ts'

/** A request listener for node:http, the compatibility API of node:http2, Express and similar servers. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void

/**
 * Makes a handler for node:http and servers built on it. Streams end when their client disconnects. Throws
 * `ValidationError` if createDurablyHandler did not make `handler`.
 *
 * @example
 * import { createServer } from 'node:http'
 * import { createDurablyHandler } from '@coji/durably'
 * import { toNodeHandler } from '@coji/durably/node'
 *
 * const handler = createDurablyHandler(durably)
 * createServer(toNodeHandler(handler, '/api/durably')).listen(3000)
 */
export function toNodeHandler(handler: DurablyHandler, basePath: string): NodeHandler {
  // An instance in its place would end the process, at the first request.
  requireFunctions(handler, 'handler', ['handle'])
  return (incoming, outgoing) => {
    const request = toRequest(incoming)
    if (request === null) {
      outgoing.writeHead(400).end()
      return
    }
    // What nobody read of the body would stand before the next request on the connection.
    outgoing.once('finish', () => incoming.resume())
    // Chained, not awaited: a stream that is open for a day must not keep its request.
    handler
      .handle(request, basePath)
      .then((response) => send(response, outgoing))
      .catch(() => outgoing.destroy())
  }
}

/** Null for what is no request: a method, say, that a `Request` cannot have. It must not end the process. */
function toRequest(incoming: IncomingMessage): Request | null {
  try {
    return readRequest(incoming)
  } catch {
    return null
  }
}

function readRequest(incoming: IncomingMessage): Request {
  // Where a framework cut the path at which it is mounted, the whole one is beside it.
  const {
    method = 'GET',
    url,
    originalUrl = url ?? '/',
    body,
  } = incoming as IncomingMessage & {
    readonly originalUrl?: string
    readonly body?: unknown
  }
  // HTTP/2 has the host under another name, beside the headers.
  const { host = incoming.headers[':authority'], ...others } = incoming.headers
  const address = addressOf(String(host ?? 'localhost'), originalUrl)
  const headers = new Headers(host === undefined ? {} : { host: String(host) })
  for (const [name, value] of Object.entries(others)) {
    if (name.startsWith(':')) continue
    for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one)
  }
  const init = { method, headers }
  if (method === 'GET' || method === 'HEAD') return new Request(address, init)
  // Read by the framework already, as JSON.
  if (body !== undefined && incoming.readableEnded)
    return new Request(address, { ...init, body: JSON.stringify(body) })
  return new Request(address, { ...init, body: bodyOf(incoming), duplex: 'half' } as RequestInit)
}

/** Read no further than it is asked for; what is left then is for nobody, and not the end of the connection. */
function bodyOf(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks = incoming.iterator({ destroyOnReturn: false })
  return ReadableStream.from(chunks) as ReadableStream<Uint8Array>
}

/** Throws unless its path is the one that was sent, word for word: that is what the app saw that let it through. */
function addressOf(host: string, target: string): string {
  const address = `http://${host}${target}`
  const path = target.split(/[?#]/, 1)[0]
  if (/^[^/?#\\@\s]+$/.test(host) && new URL(address).pathname === path) return address
  throw new TypeError('Not the path that was sent')
}

function send(response: Response, outgoing: Outgoing): Promise<void> | void {
  const reader = response.body?.getReader()
  // While the answer was made.
  if (hasGone(outgoing)) return reader?.cancel()
  outgoing.writeHead(response.status, Object.fromEntries(response.headers))
  // Whoever waits for events is told at once that they will come.
  outgoing.flushHeaders()
  if (reader !== undefined) return pipe(reader, outgoing)
  outgoing.end()
}

/** That of HTTP/2 does not say itself that it is gone. */
interface Outgoing extends ServerResponse {
  readonly stream?: { readonly destroyed: boolean; readonly closed: boolean }
}

function hasGone({ destroyed, stream }: Outgoing): boolean {
  return destroyed || stream?.destroyed === true || stream?.closed === true
}

/** No faster than the client takes it, and no longer than it is there. */
async function pipe(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  outgoing: Outgoing,
): Promise<void> {
  const leave = (): void => void reader.cancel().catch(() => {})
  outgoing.once('close', leave)
  while (!hasGone(outgoing)) {
    const { done, value } = await reader.read()
    if (done) {
      outgoing.end()
      return
    }
    if (!outgoing.write(value) && !hasGone(outgoing)) await untilWritable(outgoing)
  }
  // It may have gone before anyone listened.
  leave()
}

function untilWritable(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      outgoing.off('drain', go)
      outgoing.off('close', go)
      resolve()
    }
    outgoing.once('drain', go)
    outgoing.once('close', go)
  })
}
