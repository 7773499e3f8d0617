import { ValidationError } from '../core/error.ts'

/**
 * How deeply a body may be nested. Schemas, codecs and JSON walk down by calling themselves: somewhere after two
 * thousand levels, sooner or later each time, that ends in a `RangeError`, maybe after the run was stored.
 */
const MAX_DEPTH = 1000

/** Throws for parsed JSON that is nested too deeply. */
export function requireDepthOf(parsed: unknown): void {
  let level = [parsed].filter(isObject)
  for (let depth = 1; level.length > 0; depth++) {
    requireDepth(depth)
    level = level.flatMap(objectsIn)
  }
}

function objectsIn(holder: object): readonly object[] {
  const parts: readonly unknown[] = Array.isArray(holder) ? holder : Object.values(holder)
  return parts.filter(isObject)
}

export function requireDepth(depth: number): void {
  if (depth <= MAX_DEPTH) return
  throw new ValidationError(`the body must be nested at most ${MAX_DEPTH} levels deep`)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
