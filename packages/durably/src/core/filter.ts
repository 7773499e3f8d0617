import { ValidationError } from './error.ts'
import { requireText } from './job.ts'
import { runStatuses, type RunStatus } from './transitions.ts'

/** Throws `ValidationError` unless it is a whole number in the range. */
export function requireInteger(value: unknown, what: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
    return value
  }
  throw new ValidationError(
    `${what} must be a whole number from ${min} to ${max}; got ${String(value)}`,
  )
}

/** One status or several as a list without repetitions. Throws `ValidationError` for any other word. */
export function readStatuses(status: unknown): RunStatus[] {
  const list: unknown[] = Array.isArray(status) ? status : [status]
  for (const one of list) {
    if (runStatuses.includes(one as RunStatus)) continue
    throw new ValidationError(
      `status must be one of ${runStatuses.join(', ')}; got ${JSON.stringify(one)}`,
    )
  }
  return [...new Set(list as RunStatus[])]
}

/** Throws `ValidationError`, which begins with `at`, unless it is a record of strings the database can keep. */
export function readLabels(labels: unknown, at = ''): Record<string, string> {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) {
    throw new ValidationError(`${at}labels must be an object of strings`)
  }
  const read: Record<string, string> = {}
  for (const [name, value] of Object.entries(labels)) {
    if (value === undefined) continue
    requireText(name, `${at}label name`)
    requireText(value, `${at}label "${name}"`)
    read[name] = value
  }
  return read
}
