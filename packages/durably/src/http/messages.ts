import { decodeParsed, encode, richCodec, type Encoded } from '../core/codec.ts'
import { DurablyError, ValidationError, type ErrorCode } from '../core/error.ts'
import { requireObject } from '../core/require-object.ts'
import { show } from '../core/show.ts'
import { RICH_TYPE, type Envelope, type ErrorBody } from '../core/wire.ts'
import { requireDepthOf } from './depth.ts'
import { requireExpansion } from './expansion.ts'
import { toPlainText } from './plain.ts'

const statusOf: Partial<Record<ErrorCode, number>> = {
  validation: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  misdirected: 404,
  'method-not-allowed': 405,
  conflict: 409,
  'too-large': 413,
  unavailable: 503,
}

/** Whether whoever sent the request is to be told all of the error; else it is ours. */
export function isAnswer(error: unknown): error is DurablyError {
  return error instanceof DurablyError && statusOf[error.code] !== undefined
}

/** The answer that says what went wrong; of what is our own fault it says nothing. */
export function errorResponse(error: unknown): Response {
  const told = isAnswer(error) ? error : ourOwn(error)
  const issues = told instanceof ValidationError && told.issues.length > 0 ? told.issues : undefined
  const { code, message } = told
  const body: ErrorBody = { error: { code, message, ...(issues === undefined ? {} : { issues }) } }
  return Response.json(body, { status: statusOf[code] ?? 500, headers: private_ })
}

/** Whoever is told that something broke asks again: what is stored does not come right by that. */
function ourOwn(error: unknown): DurablyError {
  const isStored = error instanceof DurablyError && error.code === 'unreadable'
  return isStored
    ? new DurablyError('unreadable', 'What is stored of this cannot be read: the server knows more')
    : new DurablyError('internal', 'Internal error')
}

/** Answers are one person's: no cache on the way may keep them. */
const private_ = { 'cache-control': 'no-store' }

/** Whether it is Durably's own client that asks. */
export function wantsRich(request: Request): boolean {
  return request.headers.get('accept')?.includes(RICH_TYPE) ?? false
}

export function valueResponse(value: unknown, request: Request): Response {
  const isRich = wantsRich(request)
  const headers = { ...private_, 'content-type': isRich ? RICH_TYPE : 'application/json' }
  return new Response(toText(value, isRich), { headers })
}

/** JSON on one line: plain, or with its encoding beside it. */
export function toText(value: unknown, isRich: boolean): string {
  if (!isRich) return toPlainText(value)
  const { format, text } = encode(value, richCodec, 'the answer') as Encoded
  return `{"format":"${format}","value":${text}}`
}

type Body = Readonly<Record<string, unknown>>

/** The object that a request carries, or `ifNone` where it carries nothing. Throws what is wrong with it. */
export async function readBody(request: Request, maxBytes: number, ifNone?: Body): Promise<Body> {
  const text = await readText(request, maxBytes)
  // Most servers make a stream of a body that is not there, and many programs name a type for it.
  if (text === '' && ifNone !== undefined) return ifNone
  const type = request.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json' && type !== RICH_TYPE) {
    throw new ValidationError(
      `Content-Type must be application/json; got ${type === undefined ? 'none' : JSON.stringify(type)}`,
    )
  }
  const body = parseBody(text, type === RICH_TYPE, maxBytes)
  requireObject(body, 'the body', 'a JSON object')
  return body as Body
}

function parseBody(text: string, isRich: boolean, maxBytes: number): unknown {
  try {
    const parsed: unknown = JSON.parse(text)
    requireDepthOf(parsed)
    return isRich ? open(parsed as Envelope, maxBytes) : parsed
  } catch (error) {
    if (error instanceof DurablyError) throw error
    throw new ValidationError(`the body is not valid: ${(error as Error).message}`)
  }
}

function open({ format, value }: Envelope, maxBytes: number): unknown {
  if (format === 'rich') requireExpansion(value, maxBytes)
  // How the app stores its values is nobody else's to use.
  else if (format !== 'json') throw new TypeError(`Nothing is sent as ${show(format)}`)
  return decodeParsed(value, format, richCodec)
}

async function readText(request: Request, maxBytes: number): Promise<string> {
  const declared = Number(request.headers.get('content-length') ?? 0)
  if (declared > maxBytes) throw tooLarge(maxBytes)
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let size = 0
  let text = ''
  const reader = request.body?.getReader()
  while (reader !== undefined) {
    const { done, value } = await reader.read().catch(() => {
      // Whoever sent it is gone, most likely: no fault of ours.
      throw new ValidationError('the body broke off')
    })
    if (done) break
    size += value.byteLength
    try {
      if (size > maxBytes) throw tooLarge(maxBytes)
      text += decode(decoder, value)
    } catch (error) {
      await reader.cancel()
      throw error
    }
  }
  return text + decode(decoder)
}

/** Letters of another encoding would be stored as ones that nobody can tell from each other any more. */
function decode(decoder: TextDecoder, bytes?: Uint8Array): string {
  try {
    return decoder.decode(bytes, { stream: bytes !== undefined })
  } catch {
    throw new ValidationError('the body is not valid: it is not in UTF-8')
  }
}

function tooLarge(maxBytes: number): DurablyError {
  return new DurablyError('too-large', `the body must be at most ${maxBytes} bytes`)
}
