import { SerializationError } from './error.ts'
import { show } from './show.ts'

type Form = 'json' | 'rich'

/**
 * Whether JSON carries the value unharmed, or only the rich form. `what` names the value in the error.
 * Throws `SerializationError`, with its path, for what no form can carry.
 */
export function formatOf(value: unknown, what: string): Form {
  return inspect(value, what, new Set())
}

/** `above` are the objects on the way down: meeting one again is a cycle, which only the rich form has. */
function inspect(value: unknown, path: string, above: Set<object>): Form {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return 'json'
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? 'json' : 'rich'
    case 'undefined':
    case 'bigint':
      return 'rich'
    case 'object':
      return value === null ? 'json' : inspectObject(value, path, above)
    default:
      throw refused(path, `a ${typeof value}`)
  }
}

function inspectObject(value: object, path: string, above: Set<object>): Form {
  if (above.has(value)) return 'rich'
  above.add(value)
  const format = inspectParts(value, path, above)
  above.delete(value)
  return format
}

function inspectParts(value: object, path: string, above: Set<object>): Form {
  if (Array.isArray(value)) {
    return inspectItems(value, path, above)
  }
  if (isCarried(value)) return inspectCarried(value, path, above)
  if (hasToJson(value)) return inspect(value.toJSON(), path, above)
  return inspectPlain(value, path, above)
}

function inspectItems(items: readonly unknown[], path: string, above: Set<object>): Form {
  let format: Form = 'json'
  for (let i = 0; i < items.length; i++) {
    // Of an array with holes only what is there: it may be as long as it likes.
    if (!(i in items)) return inspectSparse(items, path, above)
    if (inspect(items[i], `${path}[${i}]`, above) === 'rich') format = 'rich'
  }
  return format
}

function inspectSparse(items: readonly unknown[], path: string, above: Set<object>): Form {
  for (const [key, item] of Object.entries(items)) inspect(item, `${path}[${key}]`, above)
  return 'rich'
}

function inspectPlain(value: object, path: string, above: Set<object>): Form {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw refused(path, `an instance of ${nameOfClass(value)}`)
  }
  if (Object.getOwnPropertySymbols(value).length > 0) throw refused(path, 'a symbol key')
  let format: Form = 'json'
  for (const [key, part] of Object.entries(value)) {
    if (inspect(part, `${path}.${key}`, above) === 'rich') format = 'rich'
  }
  return format
}

function inspectCarried(value: object, path: string, above: Set<object>): Form {
  if (value instanceof Map) {
    for (const [key, part] of value) {
      inspect(key, `${path} (a key)`, above)
      inspect(part, `${path}.get(${typeof key === 'string' ? key : show(key)})`, above)
    }
  }
  if (value instanceof Set) {
    for (const part of value) inspect(part, `${path} (a member)`, above)
  }
  return 'rich'
}

/** Objects of the language and the platform that the rich form carries. */
export function isCarried(value: object): boolean {
  return (
    value instanceof Date ||
    value instanceof Map ||
    value instanceof Set ||
    value instanceof RegExp ||
    value instanceof Error ||
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value) ||
    value instanceof URL ||
    value instanceof URLSearchParams ||
    value instanceof Number ||
    value instanceof String ||
    value instanceof Boolean
  )
}

export function hasToJson(value: object): value is { toJSON(): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function'
}

function nameOfClass(value: object): string {
  const { constructor } = value as { constructor?: { name?: unknown } }
  return typeof constructor?.name === 'string' && constructor.name !== ''
    ? constructor.name
    : 'a class'
}

function refused(path: string, found: string): SerializationError {
  return new SerializationError(
    `Cannot store ${path}: ${found} is not a value. Store plain data, and build the object from it where it is used.`,
  )
}
