import { SerializationError } from './error.ts'
import { show } from './show.ts'

type Form = 'json' | 'rich'

/** How many objects of a value are walked before those that were walked are remembered: most values have fewer. */
const FEW = 10_000
/** How many objects JSON may write again, for they occur more than once; the rich form writes each of them once. */
const MAX_AGAIN = 100_000

/** The way through a value. */
interface Walk {
  /** The objects on the way down: meeting one again is a cycle, which only the rich form has. */
  readonly above: Set<object>
  /** How many objects JSON would have written so far. */
  objects: number
  /** How many of them it would have written before. */
  again: number
  /** How many objects each has within, and itself; not of the first few, which are most. */
  sizes: Map<object, number> | null
}

/**
 * Whether JSON carries the value unharmed, or only the rich form. `what` names the value in the error.
 * Throws `SerializationError`, with its path, for what no form can carry.
 */
export function formatOf(value: unknown, what: string): Form {
  return inspect(value, what, { above: new Set(), objects: 0, again: 0, sizes: null })
}

function inspect(value: unknown, path: string, walk: Walk): Form {
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
      return value === null ? 'json' : inspectObject(value, path, walk)
    default:
      throw refused(path, `a ${typeof value}`)
  }
}

function inspectObject(value: object, path: string, walk: Walk): Form {
  if (walk.above.has(value)) return 'rich'
  const again = walk.sizes?.get(value)
  // Parts of parts that are all shared double at each level: no walk would end.
  if (again !== undefined) return skip(again, walk)
  const before = walk.objects++
  walk.above.add(value)
  const format = inspectParts(value, path, walk)
  walk.above.delete(value)
  if (before >= FEW) (walk.sizes ??= new Map()).set(value, walk.objects - before)
  return format
}

/** What is in it was said when it was met first. */
function skip(size: number, walk: Walk): Form {
  walk.objects += size
  walk.again += size
  return walk.again > MAX_AGAIN ? 'rich' : 'json'
}

function inspectParts(value: object, path: string, walk: Walk): Form {
  if (Array.isArray(value)) {
    return inspectItems(value, path, walk)
  }
  if (isCarried(value)) return inspectCarried(value, path, walk)
  if (hasToJson(value)) return inspect(value.toJSON(), path, walk)
  return inspectPlain(value, path, walk)
}

function inspectItems(items: readonly unknown[], path: string, walk: Walk): Form {
  let format: Form = 'json'
  for (let i = 0; i < items.length; i++) {
    // Of an array with holes only what is there: it may be as long as it likes.
    if (!(i in items)) return inspectSparse(items, path, walk)
    if (inspect(items[i], `${path}[${i}]`, walk) === 'rich') format = 'rich'
  }
  return format
}

function inspectSparse(items: readonly unknown[], path: string, walk: Walk): Form {
  for (const [key, item] of Object.entries(items)) inspect(item, `${path}[${key}]`, walk)
  return 'rich'
}

function inspectPlain(value: object, path: string, walk: Walk): Form {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw refused(path, `an instance of ${nameOfClass(value)}`)
  }
  if (Object.getOwnPropertySymbols(value).length > 0) throw refused(path, 'a symbol key')
  let format: Form = 'json'
  for (const [key, part] of Object.entries(value)) {
    if (inspect(part, `${path}.${key}`, walk) === 'rich') format = 'rich'
  }
  return format
}

function inspectCarried(value: object, path: string, walk: Walk): Form {
  if (value instanceof Map) {
    for (const [key, part] of value) {
      inspect(key, `${path} (a key)`, walk)
      inspect(part, `${path}.get(${typeof key === 'string' ? key : show(key)})`, walk)
    }
  }
  if (value instanceof Set) {
    for (const part of value) inspect(part, `${path} (a member)`, walk)
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
