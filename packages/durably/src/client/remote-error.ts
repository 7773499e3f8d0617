import {
  ConflictError,
  DurablyError,
  NotFoundError,
  ValidationError,
  type ErrorCode,
  type Issue,
} from '../core/error.ts'
import type { ErrorBody } from '../core/wire.ts'

/** The error that the server answered with, of the class it has there. */
export async function errorOf(response: Response, url: string): Promise<DurablyError> {
  // What is well for another program may have no end.
  if (response.ok) void response.body?.cancel()
  const text = response.ok ? '' : await response.text().catch(() => null)
  const { code, message, issues } = readError(text) ?? describeForeign(response, url, text === null)
  switch (code) {
    case 'validation':
      return new ValidationError(message, issues as readonly Issue[] | undefined)
    case 'not-found':
      return new NotFoundError(message)
    case 'conflict':
      return new ConflictError(message)
    default:
      return new DurablyError(code as ErrorCode, message)
  }
}

const byStatus: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthenticated',
  403: 'forbidden',
}

const passing = [408, 425, 429]

/** Not Durably's word: something on the way, or another program. */
function describeForeign(
  { status, headers }: Response,
  url: string,
  isBroken: boolean,
): ErrorBody['error'] {
  const message = `${url} answered ${status} with ${headers.get('content-type')}`
  if (isBroken || status >= 500 || passing.includes(status)) return { code: 'unavailable', message }
  const code = byStatus[status] ?? 'misdirected'
  return { code, message: `${message}: does api name the path of the handler?` }
}

function readError(text: string | null): ErrorBody['error'] | null {
  try {
    const { error } = JSON.parse(text ?? '') as Partial<ErrorBody>
    // Others write theirs in the same shape, with codes like `429` or `rate_limited`.
    return typeof error?.code === 'string' && /^[a-z-]+$/.test(error.code) ? error : null
  } catch {
    return null
  }
}

/** Whether it may be gone when it is asked again: nobody answered, or something broke. */
export function isPassing(error: unknown): boolean {
  return (
    error instanceof DurablyError && (error.code === 'unavailable' || error.code === 'internal')
  )
}
