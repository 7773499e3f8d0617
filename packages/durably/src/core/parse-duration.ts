import { ValidationError } from './error.ts'
import { show } from './show.ts'

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

// About 250,000 years: counted from now a Date can still hold it, so that no due time overflows.
const MAX_MS = 8e15

/** The duration in whole milliseconds, rounded up; `name` is what the error calls it. Throws `ValidationError`. */
export function parseDuration(value: unknown, name: string): number {
  const ms = typeof value === 'string' ? parseText(value) : value
  if (typeof ms === 'number' && ms >= 0 && ms <= MAX_MS) return Math.ceil(ms)
  throw new ValidationError(
    `${name} must be a duration: milliseconds, or a whole number and a unit such as '500ms', '10s', '5m', '12h' or '30d'; got ${show(value)}`,
  )
}

/** The duration in milliseconds. Throws `ValidationError` also for one that is over at once. */
export function requirePeriod(value: unknown, what: string): number {
  const ms = parseDuration(value, what)
  if (ms >= 1) return ms
  throw new ValidationError(`${what} must be at least 1 ms; got ${show(value)}`)
}

function parseText(text: string): number {
  const [, digits, unit = ''] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? []
  return Number(digits) * (unitMs[unit] ?? Number.NaN)
}
