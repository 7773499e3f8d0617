import { DurablyError } from '../core/error.ts'
import { requireDepth } from './depth.ts'

/** What an array that is mostly holes begins with in the rich form: its length follows, then where each item is. */
const SPARSE = -7
/** What each of its holes is in JSON. */
const HOLE = 'null,'

/**
 * Throws for a value in the rich form, parsed but not yet decoded, that is larger than `max` once its parts are
 * written wherever they occur, or nested too deeply. The form has each part once and says of holes only how many they
 * are: a body of a hundred bytes could be a billion objects to whoever walks through them, be it a schema or the job.
 */
export function requireExpansion(flat: unknown, max: number): void {
  const values: readonly unknown[] = Array.isArray(flat) ? flat : []
  // Meeting one of them again is a cycle, which ends the way down.
  const above = new Set<object>()
  let size = 0

  // Never more than the text has of what occurs once in it.
  function count(characters: number): void {
    size += characters
    if (size > max) throw tooLargeInFull(max)
  }

  function visit(value: unknown): void {
    count(typeof value === 'string' ? 1 + value.length : 1)
    if (typeof value !== 'object' || value === null || above.has(value)) return
    above.add(value)
    requireDepth(above.size)
    for (const part of partsOf(value, count)) visit(typeof part === 'number' ? values[part] : part)
    above.delete(value)
  }

  visit(values[0])
}

/** What an entry refers to, by number, or has within itself. */
function partsOf(value: object, count: (characters: number) => void): readonly unknown[] {
  if (!Array.isArray(value)) {
    for (const key of Object.keys(value)) count(key.length)
    return Object.values(value)
  }
  const [first, length] = value as readonly unknown[]
  if (first !== SPARSE) return value
  if (typeof length === 'number') count(HOLE.length * Math.abs(length))
  return value.filter((_, i) => i > 2 && i % 2 === 1)
}

function tooLargeInFull(max: number): DurablyError {
  return new DurablyError(
    'too-large',
    `the body must be at most ${max} bytes, also with what occurs in it more than once, and with holes of arrays, written in full. Send ids of what is shared`,
  )
}
