import { ValidationError } from './error.ts'
import { requireText } from './require-text.ts'
import { requireObject } from './require-object.ts'
import { show } from './show.ts'
import { runStatuses, type RunStatus } from './transitions.ts'

/** Throws `ValidationError` unless it is a whole number in the range. */
export function requireInteger(value: unknown, what: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value
  }
  throw new ValidationError(
    `${what} must be a whole number from ${min} to ${max}; got ${show(value)}`,
  )
}

/** One status or several as a list without repetitions. Throws `ValidationError` for any other word. */
export function readStatuses(status: unknown): RunStatus[] {
  const list: unknown[] = Array.isArray(status) ? status : [status]
  for (const one of list) {
    if (runStatuses.includes(one as RunStatus)) continue
    throw new ValidationError(`status must be one of ${runStatuses.join(', ')}; got ${show(one)}`)
  }
  return [...new Set(list as RunStatus[])]
}

/** Each is a row of an index, and each that a list asks for one more search for every run. */
const MAX_LABELS = 50
export const MAX_LABELS_OF_FILTER = 20

export function requireFew(labels: readonly unknown[], max: number, what: string): void {
  if (labels.length <= max) return
  throw new ValidationError(`${what} must be ${max} at most; got ${labels.length}`)
}

/** Throws `ValidationError`, which begins with `at`, unless it is a record of strings the database can keep. */
export function readLabels(labels: unknown, at = ''): Record<string, string> {
  requireObject(labels, `${at}labels`, 'an object of strings')
  const given = Object.entries(labels).filter(([, value]) => value !== undefined)
  requireFew(given, MAX_LABELS, `${at}labels of a run`)
  for (const [name, value] of given) {
    requireText(name, `${at}label name`)
    requireText(value, `${at}label "${name}"`)
  }
  // An assignment would lose a label called `__proto__`.
  return Object.fromEntries(given)
}
