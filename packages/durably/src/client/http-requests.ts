import { DurablyError, NotFoundError } from '../core/error.ts'
import { RICH_TYPE, type Envelope } from '../core/wire.ts'
import { errorOf } from './remote-error.ts'

/** What `new Headers` takes: its name in the types of browsers is in no others. */
export type HeadersInput = NonNullable<ConstructorParameters<typeof Headers>[0]>

export interface RequestsOptions {
  /** Where the handler is, without a slash at the end. */
  readonly api: string
  readonly fetch: typeof fetch
  readonly headers: () => Promise<HeadersInput>
}

export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>

interface RequestOptions {
  readonly query?: Query
  /** What is undefined in it is left out. */
  readonly body?: object
  readonly signal?: AbortSignal
}

/** The requests that a handler answers. All reject with the errors that the server says, of the same classes. */
export interface Requests {
  /** The value that is answered. */
  send(method: string, path: string, options?: RequestOptions): Promise<unknown>
  /** The answer itself, once it has begun. */
  open(path: string, options: RequestOptions): Promise<Response>
}

export function createRequests(options: RequestsOptions): Requests {
  async function request(
    method: string,
    path: string,
    type: string,
    { query = {}, body, signal }: RequestOptions = {},
  ): Promise<Response> {
    const url = `${options.api}${path}${toSearch(query)}`
    const headers = new Headers(
      await answered(options.headers(), `${url} cannot be asked: its headers failed`),
    )
    headers.set('accept', RICH_TYPE)
    if (body !== undefined) headers.set('content-type', RICH_TYPE)
    const init = { method, headers, body: body && (await toText(body)), signal } as RequestInit
    const response = await answered(options.fetch(url, init), `${url} cannot be reached`)
    // Anyone can say that something is well: a page to sign in, or the app itself for a path it does not know.
    const isOwn = response.status === 204 || response.headers.get('content-type')?.startsWith(type)
    if (response.ok && isOwn) return response
    throw await errorOf(response, url)
  }

  return {
    open: (path, requestOptions) => request('GET', path, 'text/event-stream', requestOptions),
    async send(method, path, requestOptions) {
      const response = await request(method, path, RICH_TYPE, requestOptions)
      return answered(
        response.text().then(parseText),
        `${options.api}${path} broke off in its answer`,
      )
    },
  }
}

/** Whatever else breaks on the way to an answer may pass. */
async function answered<T>(asked: Promise<T>, message: string): Promise<T> {
  try {
    return await asked
  } catch (cause) {
    if (cause instanceof DurablyError) throw cause
    throw new DurablyError('unavailable', message, { cause })
  }
}

function toSearch(query: Query): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue
    for (const one of [value].flat()) search.append(name, String(one))
  }
  return search.size === 0 ? '' : `?${search}`
}

// What encodes dates, maps and the like is loaded when one of them is met.
const loadCodec = () => import('../core/codec.ts')

async function toText(body: object): Promise<string> {
  const value = Object.fromEntries(Object.entries(body).filter(([, part]) => part !== undefined))
  if (isPlain(value)) return `{"format":"json","value":${JSON.stringify(value)}}`
  const { encode, richCodec } = await loadCodec()
  const { format, text } = await encode(value, richCodec, 'the request')
  return `{"format":"${format}","value":${text}}`
}

/** What is deeper counts more. Beyond it may be a cycle, or a few values that are shared, each of them many times. */
const MAX_WALK = 100_000

/** Whether it is surely nothing but JSON, and no more than it looks. */
function isPlain(value: unknown): boolean {
  let left = MAX_WALK
  const isJson = (part: unknown, depth: number): boolean => {
    left -= depth
    if (typeof part === 'number') return Number.isFinite(part) && !Object.is(part, -0)
    if (typeof part !== 'object' || part === null) {
      return part === null || typeof part === 'string' || typeof part === 'boolean'
    }
    if (left < 0 || 'toJSON' in part) return false
    const values: unknown[] = Object.values(part)
    return (
      (Array.isArray(part)
        ? values.length === part.length
        : Object.getPrototypeOf(part) === Object.prototype &&
          Object.getOwnPropertySymbols(part).length === 0) &&
      values.every((one) => isJson(one, depth + 1))
    )
  }
  return isJson(value, 1)
}

/** The value that the server sent as this text. */
export async function parseText(text: string): Promise<unknown> {
  const { format, value } = JSON.parse(text) as Envelope
  if (format === 'json') return value
  const { decodeParsed, richCodec } = await loadCodec()
  return decodeParsed(value, format, richCodec)
}

/** Nothing, where the server knows no such thing. */
export async function orNone<T>(asked: Promise<unknown>, none: T): Promise<unknown> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof NotFoundError) return none
    throw error
  }
}
