import type { StandardSchemaV1 } from '@standard-schema/spec'
import { ValidationError, type Issue } from './error.ts'

/** Throws `ValidationError` unless `value` can check other values. */
export function requireSchema(value: unknown, what: string): void {
  const schema = value as Partial<StandardSchemaV1> | null | undefined
  if (typeof schema?.['~standard']?.validate === 'function') return
  throw new ValidationError(
    `${what} must be a schema that implements Standard Schema (zod 4, valibot, arktype, …)`,
  )
}

/** How many issues an error has: a list of a million wrong items has as many. */
const MAX_ISSUES = 20

/** What the schema makes of `value`. Throws `ValidationError` that starts with `what`. */
export async function parseWith(
  schema: StandardSchemaV1,
  value: unknown,
  what: string,
): Promise<unknown> {
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  const issues = result.issues.slice(0, MAX_ISSUES).map(toIssue)
  const more = result.issues.length - issues.length
  const shown = [...issues.map(showIssue), ...(more === 0 ? [] : [`and ${more} more`])]
  throw new ValidationError(`${what}: ${shown.join('; ')}`, issues)
}

function toIssue({ message, path }: StandardSchemaV1.Issue): Issue {
  if (path === undefined || path.length === 0) return { message }
  // Some libraries have arrays of their own, whose `map` makes more of them.
  const keys = Array.from(path, (part) => (typeof part === 'object' ? part.key : part))
  return { message, path: keys.map((key) => (typeof key === 'number' ? key : String(key))) }
}

function showIssue({ message, path }: Issue): string {
  return path === undefined ? message : `${path.join('.')}: ${message}`
}
