/** The database understood and refuses: sending it again cannot help. */
export function isRejection(error: unknown): boolean {
  return rejectedClasses.has(stateOf(error).slice(0, 2))
}

// Data exception, integrity constraint violation, program limit exceeded.
const rejectedClasses = new Set(['22', '23', '54'])

/** Undefined table. */
export function isTableMissing(error: unknown): boolean {
  return stateOf(error) === '42P01'
}

/** The database took the whole transaction back: it may be tried again as it was. */
export function isConflict(error: unknown): boolean {
  return conflicts.has(stateOf(error)) || isStalePlan(error) || isTakenPosition(error)
}

// Serialization failure, deadlock.
const conflicts = new Set(['40001', '40P01'])

/** A prepared statement does not fit its tables any more, since another process upgraded them. */
export function isStalePlan(error: unknown): boolean {
  const { routine } = (error ?? {}) as { routine?: unknown }
  return stateOf(error) === '0A000' && routine === 'RevalidateCachedQuery'
}

/** An entry came into a journal since the statement began that was to append one. */
function isTakenPosition(error: unknown): boolean {
  const { constraint, constraint_name = constraint } = (error ?? {}) as Record<string, unknown>
  return stateOf(error) === '23505' && String(constraint_name).endsWith('journal_pkey')
}

function stateOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
