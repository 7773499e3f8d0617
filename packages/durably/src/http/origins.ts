import { DurablyError } from '../core/error.ts'

/**
 * Throws for a request that a page of another origin made, unless its origin is listed: the browser would send the
 * user's cookies along, also from another subdomain, which may be someone else's. Browsers mark such requests; where
 * one does not, it says at least where the page is from.
 */
export function requireKnownOrigin(request: Request, origins: readonly string[]): void {
  const origin = request.headers.get('origin')
  if (origin !== null && origins.includes(origin)) return
  const site = request.headers.get('sec-fetch-site')
  const isForeign =
    site === null
      ? origin !== null && !isSameHost(origin, request)
      : site !== 'same-origin' && site !== 'none'
  if (!isForeign) return
  throw new DurablyError(
    'forbidden',
    `Requests from pages of ${origin ?? 'another origin'} are refused: list the origin in cors to allow them`,
  )
}

function isSameHost(origin: string, request: Request): boolean {
  const host = request.headers.get('host') ?? new URL(request.url).host
  return URL.canParse(origin) && new URL(origin).host === host
}

/** The answer to a browser that asks whether a page of a listed origin may send its request. */
export function preflightResponse(request: Request, methods: readonly string[]): Response {
  const asked = request.headers.get('access-control-request-headers')
  const headers = new Headers({
    'access-control-allow-methods': methods.join(', '),
    'access-control-max-age': '600',
  })
  if (asked !== null) headers.set('access-control-allow-headers', asked)
  return new Response(null, { status: 204, headers })
}

/** Lets pages of listed origins read the answer, with the user's cookies. */
export function allowOrigin(
  response: Response,
  request: Request,
  origins: readonly string[],
): Response {
  if (origins.length === 0) return response
  response.headers.append('vary', 'origin')
  const origin = request.headers.get('origin')
  if (origin === null || !origins.includes(origin)) return response
  response.headers.set('access-control-allow-origin', origin)
  response.headers.set('access-control-allow-credentials', 'true')
  return response
}
