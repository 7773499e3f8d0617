import { parse, stringify, unflatten } from 'devalue'
import { describeError } from './describe-error.ts'
import { restoreError, SerializationError, type ErrorDetail } from './error.ts'
import { show } from './show.ts'
import { formatOf, hasToJson, isCarried } from './storable.ts'

/**
 * How your app stores its values instead: to encrypt or compress them, or to keep large ones elsewhere.
 *
 * @example
 * const codec: Codec = {
 *   encode: async (value) => vault.encrypt(await richCodec.encode(value)),
 *   decode: (text) => richCodec.decode(vault.decrypt(text)),
 * }
 */
export interface Codec {
  encode(value: unknown): string | Promise<string>
  /** Must return the value itself, not a promise. */
  decode(text: string): unknown
}

/** `json` is plain readable JSON; `rich` is devalue's JSON; `codec` is a JSON string of the app's codec. */
export type Format = 'json' | 'rich' | 'codec'

/** A value on its way to or from the database. How it is encoded stands beside it, never in it. */
export interface Encoded {
  readonly format: Format
  /** JSON text, whatever the format: a NUL in a value is only an escape. */
  readonly text: string
}

/**
 * How long the text of a value may be. A string has room for it and what stands around it, and each database, also
 * where a character is three bytes.
 */
const MAX_CHARS = 2 ** 28

const nothing: Encoded = { format: 'rich', text: stringify(undefined) }

/**
 * Durably's rich form, for any value: build your own codec on it. If it cannot carry a value, `encode` throws devalue's
 * error, which becomes a `SerializationError` where a value is stored.
 *
 * @example
 * const text = await richCodec.encode({ at: new Date() })
 * const value = richCodec.decode(text)
 */
export const richCodec: Codec = {
  encode: (value) => stringify(value, reducers),
  decode: (text) => parse(text, revivers) as unknown,
}

/**
 * The stored form of `value`: plain JSON where that loses nothing, else the rich form, unless the app has a codec of
 * its own. `what` names the value in the error.
 * Throws `SerializationError` with the path of what cannot be stored.
 */
export function encode(value: unknown, codec: Codec, what: string): Encoded | Promise<Encoded> {
  if (codec !== richCodec) return encodeWith(codec, value, what)
  if (value === undefined) return nothing
  try {
    if (formatOf(value, what) === 'json') {
      const text: unknown = JSON.stringify(value)
      // A value that is another one each time it is looked at may be nothing now.
      if (typeof text === 'string') return { format: 'json', text: fitting(text) }
    }
    return { format: 'rich', text: fitting(stringify(value, reducers)) }
  } catch (error) {
    throw asSerializationError(error, what)
  }
}

async function encodeWith(codec: Codec, value: unknown, what: string): Promise<Encoded> {
  try {
    const text = await codec.encode(value)
    if (typeof text !== 'string') throw new TypeError('codec.encode must return a string')
    return { format: 'codec', text: fitting(JSON.stringify(text)) }
  } catch (error) {
    throw asSerializationError(error, what)
  }
}

function fitting(text: string): string {
  if (text.length <= MAX_CHARS) return text
  throw new RangeError(`${text.length} characters of JSON, of at most ${MAX_CHARS}`)
}

/** The value that was encoded; each call makes a new copy. */
export function decode(encoded: Encoded, codec: Codec): unknown {
  return decodeParsed(JSON.parse(encoded.text), encoded.format, codec)
}

/** The same for text that stood inside other JSON and was parsed with it. */
export function decodeParsed(parsed: unknown, format: Format, codec: Codec): unknown {
  if (format === 'json') return parsed
  if (format === 'rich') return unflatten(parsed as number | unknown[], revivers)
  if (format === 'codec' && typeof parsed === 'string') return decodeWith(codec, parsed)
  throw new TypeError(`Nothing is stored as ${show(format)}`)
}

/** Values are read where nothing can be awaited: a promise would be taken for the value. */
function decodeWith(codec: Codec, text: string): unknown {
  const value = codec.decode(text)
  const { then } = (value ?? {}) as { then?: unknown }
  if (typeof then !== 'function') return value
  throw new TypeError('codec.decode must return the value itself, not a promise')
}

function asSerializationError(error: unknown, what: string): SerializationError {
  if (error instanceof SerializationError) return error
  const { path } = error as { path?: unknown }
  const place = typeof path === 'string' && path !== '' ? `${what}${path}` : what
  const { message } = describeError(error)
  if (!(error instanceof RangeError)) {
    return new SerializationError(`Cannot store ${place}: ${message}`)
  }
  // As the engine says it of what is nested too deeply, or longer than a string can be.
  return new SerializationError(
    `Cannot store ${place}: it is too deep or too long: ${message}. Keep it elsewhere, and store where that is`,
  )
}

// devalue tries these first, for every value. A Buffer comes back as what it is, a Uint8Array;
// a view of part of a buffer would be stored with all of it, also with what is not the app's to see there;
// an object that says how it wants to be stored comes back as that.
const reducers: Record<string, (value: unknown) => unknown> = {
  Error: (value) => value instanceof Error && describeError(value),
  Bytes: (value) => ArrayBuffer.isView(value) && !isWhole(value) && [copyOf(value)],
  Json: (value) =>
    typeof value === 'object' &&
    value !== null &&
    !isCarried(value) &&
    hasToJson(value) && [value.toJSON()],
}

function isWhole(view: ArrayBufferView): boolean {
  if (view.byteLength !== view.buffer.byteLength) return false
  return !(view instanceof Uint8Array) || view.constructor === Uint8Array
}

function copyOf(view: ArrayBufferView): ArrayBufferView {
  if (view instanceof Uint8Array) return Uint8Array.from(view)
  const View = view.constructor as new (buffer: ArrayBufferLike) => ArrayBufferView
  return new View(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))
}

const revivers: Record<string, (stored: unknown) => unknown> = {
  Error: (stored) => restoreError(stored as ErrorDetail),
  Bytes: (stored) => (stored as [ArrayBufferView])[0],
  Json: (stored) => (stored as [unknown])[0],
}
