import { ValidationError } from '../../core/error.ts'
import { show } from '../../core/show.ts'

const names = [
  'meta',
  'runs',
  'journal',
  'workers',
  'keys',
  'jobs',
  'labels',
  'mailbox',
  'tokens',
  'waiters',
  'deleted',
] as const
const views = ['steps', 'logs'] as const

export type TableName = (typeof names)[number] | (typeof views)[number]

/** The tables as they stand in SQL, quoted. */
export type Tables = Readonly<Record<TableName, string>>

// The longest name made of it, of an index, stays under the 63 bytes that PostgreSQL keeps of a name.
const MAX_PREFIX = 40

export const tableNames: readonly TableName[] = [...names, ...views]

/** Those that Durably cannot do without: views are for people. */
export const neededNames: readonly TableName[] = names

/** Throws `ValidationError` when names cannot start with `prefix`, or the database keeps those for itself. */
export function nameTables(prefix: unknown, reserved: string | null = null): Tables {
  if (typeof prefix !== 'string' || !/^[A-Za-z_]\w*$/.test(prefix) || prefix.length > MAX_PREFIX) {
    throw new ValidationError(
      `tablePrefix must be a letter or underscore, then letters, digits and underscores, at most ${MAX_PREFIX} in all; got ${show(prefix)}`,
    )
  }
  if (reserved !== null && prefix.toLowerCase().startsWith(reserved)) {
    throw new ValidationError(
      `tablePrefix must not begin with ${reserved}, which this database keeps for itself; got ${show(prefix)}`,
    )
  }
  const quoted = tableNames.map((name) => [name, `"${prefix}${name}"`])
  return Object.fromEntries(quoted) as Tables
}
