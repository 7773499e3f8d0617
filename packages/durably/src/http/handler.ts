import type { Client } from '../client/client.ts'
import type { Env } from '../core/env.ts'
import { describeError } from '../core/describe-error.ts'
import { DurablyError, ValidationError } from '../core/error.ts'
import { requireInteger } from '../core/filter.ts'
import { requireOptions, type Names } from '../core/require-object.ts'
import { requireFunctions } from '../core/options.ts'
import { show } from '../core/show.ts'
import { requireAccess, type Access } from './access.ts'
import type { Route } from './call.ts'
import { errorResponse, isAnswer, readBody, valueResponse } from './messages.ts'
import { allowOrigin, preflightResponse, requireKnownOrigin } from './origins.ts'
import { completeToken, routes } from './routes.ts'

/** Options of a handler. */
export interface HandlerOptions {
  /** Who may see and do what. Without it, everyone may do everything: put the handler behind something that checks. */
  readonly auth?:
    | {
        /**
         * Called first for each request, except preflights and those of other origins that are not in `cors`, which are
         * refused. Null or undefined means nobody: the answer is 401.
         */
        authenticate(
          request: Request,
        ): Access | null | undefined | Promise<Access | null | undefined>
      }
    | undefined
  /** Awaited before each request that was let in is answered: you can call `durably.init()` here. */
  readonly onRequest?: ((request: Request) => unknown) | undefined
  /** Other origins, like `'https://app.example.com'`, whose pages may send requests. Default: none. */
  readonly cors?: readonly string[] | undefined
  /** The longest body of a request, in bytes. Default 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** How many event streams may be open at once; beyond that, the answer is 503. Default 10,000. */
  readonly maxStreams?: number | undefined
  /** Called with errors that the client is not told about. Default: writes them to the console. */
  readonly onError?: ((error: unknown, request: Request) => void) | undefined
}

/** Durably over HTTP. */
export interface DurablyHandler {
  /**
   * Answers a request whose path begins with `basePath`. Never rejects: errors become answers.
   *
   * @example
   * app.all('/api/durably/*', (c) => handler.handle(c.req.raw, '/api/durably'))
   */
  handle(request: Request, basePath: string): Promise<Response>
}

type Auth = NonNullable<HandlerOptions['auth']>

interface Setup {
  readonly client: Client
  readonly env: Pick<Env, 'after'>
  readonly cors: readonly string[]
  readonly maxBodyBytes: number
  readonly onError: (error: unknown, request: Request) => void
  readonly auth: Auth | null
  readonly onRequest: HandlerOptions['onRequest'] | null
  /** Throws when too many are open. Returns what to call when it ends. */
  openStream(): () => void
}

/** Whoever is let in where nobody asks. */
const everything: Access = {}

export function createHandler(
  client: Client,
  options: HandlerOptions,
  env: Pick<Env, 'after'>,
): DurablyHandler {
  const setup = readOptions(client, options, env)
  return {
    async handle(request, basePath) {
      const response = await answer(setup, request, basePath).catch((error: unknown) => {
        if (!isAnswer(error)) report(setup, error, request)
        return errorResponse(error)
      })
      return allowOrigin(response, request, setup.cors)
    },
  }
}

async function answer(setup: Setup, request: Request, basePath: string): Promise<Response> {
  const { client, env, auth, onRequest, cors, maxBodyBytes, openStream } = setup
  requireKnownOrigin(request, cors)
  const url = new URL(request.url)
  const methods = methodsOf(url.pathname, basePath)
  if (request.method === 'OPTIONS' && methods !== null) {
    return preflightResponse(request, Object.keys(methods))
  }
  const access = auth === null ? everything : await letIn(auth, request)
  // Not `not-found`: whoever asks elsewhere for a run would take it for one that does not exist.
  if (methods === null) throw new DurablyError('misdirected', `There is nothing at ${url.pathname}`)
  const route = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined
  if (route === undefined) return wrongMethod(request.method, Object.keys(methods))
  await onRequest?.(request)
  const value = await route({
    client,
    access,
    request,
    query: url.searchParams,
    env,
    openStream,
    onError: (error) => report(setup, error, request),
    body: (ifNone) => readBody(request, maxBodyBytes, ifNone),
  })
  return value instanceof Response ? value : valueResponse(value, request)
}

/** Whatever is no access lets nobody in, also where no compiler saw it. */
async function letIn(auth: Auth, request: Request): Promise<Access> {
  const access: unknown = await auth.authenticate(request)
  if (access === null || access === undefined || access === false) {
    throw new DurablyError('unauthenticated', 'You are not signed in')
  }
  try {
    requireAccess(access)
  } catch (cause) {
    // The mistake is the server's, not the client's.
    throw new TypeError(describeError(cause).message, { cause })
  }
  return access
}

function report({ onError }: Setup, error: unknown, request: Request): void {
  try {
    onError(error, request)
  } catch {
    // The answer is more than the report of it.
  }
}

function wrongMethod(method: string, allowed: readonly string[]): Response {
  const message = `${method} is not allowed here; allowed: ${allowed.join(', ')}`
  const response = errorResponse(new DurablyError('method-not-allowed', message))
  response.headers.set('allow', allowed.join(', '))
  return response
}

/** What the path answers, or null when there is nothing. */
function methodsOf(path: string, basePath: string): Readonly<Record<string, Route>> | null {
  if (typeof basePath !== 'string') {
    throw new TypeError(
      `handle(request, basePath): basePath must say where the handler is mounted, like '/api/durably'; got ${show(basePath)}`,
    )
  }
  const base = basePath.endsWith('/') ? basePath.slice(0, -1) : basePath
  if (!path.startsWith(`${base}/`)) return null
  const rest = path.slice(base.length)
  const token = /^\/tokens\/([^/]+)$/.exec(rest)?.[1]
  if (token !== undefined) return { POST: completeToken(token) }
  return Object.hasOwn(routes, rest) ? (routes[rest] ?? null) : null
}

const DEFAULT_BODY_BYTES = 1024 * 1024
const DEFAULT_STREAMS = 10_000

const knownOptions: Names<HandlerOptions> = {
  auth: true,
  onRequest: true,
  cors: true,
  maxBodyBytes: true,
  maxStreams: true,
  onError: true,
}

function readOptions(client: Client, options: HandlerOptions, env: Pick<Env, 'after'>): Setup {
  requireOptions(options, knownOptions)
  const { auth, onRequest, onError, cors = [] } = options
  const { maxBodyBytes = DEFAULT_BODY_BYTES, maxStreams = DEFAULT_STREAMS } = options
  requireFunctions(client, 'durably', ['getRun', 'getRuns', 'getJob', 'subscribe'])
  if (auth !== undefined) requireFunctions(auth, 'auth', ['authenticate'])
  for (const [name, fn] of Object.entries({ onRequest, onError })) {
    if (fn !== undefined && typeof fn !== 'function') {
      throw new ValidationError(`${name} must be a function; got ${show(fn)}`)
    }
  }
  if (!Array.isArray(cors)) {
    throw new ValidationError(`cors must be a list of origins; got ${show(cors)}`)
  }
  for (const origin of cors as readonly unknown[]) requireOrigin(origin)
  requireInteger(maxBodyBytes, 'maxBodyBytes', 1, Number.MAX_SAFE_INTEGER)
  requireInteger(maxStreams, 'maxStreams', 1, Number.MAX_SAFE_INTEGER)
  return {
    client,
    env,
    auth: auth ?? null,
    onRequest: onRequest ?? null,
    cors: cors as readonly string[],
    maxBodyBytes,
    openStream: createLimit(maxStreams),
    onError: onError ?? toConsole,
  }
}

function toConsole(error: unknown): void {
  // oxlint-disable-next-line no-console -- the client is told nothing: nobody else would ever know
  console.error('Durably could not answer a request:', error)
}

function requireOrigin(origin: unknown): void {
  if (typeof origin === 'string' && URL.canParse(origin) && new URL(origin).origin === origin)
    return
  throw new ValidationError(
    `cors must list origins like 'https://app.example.com'; got ${show(origin)}`,
  )
}

function createLimit(most: number): () => () => void {
  let open = 0
  return () => {
    if (open >= most) {
      throw new DurablyError(
        'unavailable',
        `${most} event streams are open already; try again later`,
      )
    }
    open++
    return () => void open--
  }
}
