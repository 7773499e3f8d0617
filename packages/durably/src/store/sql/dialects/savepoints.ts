import type { Driver } from 'kysely'

/** The savepoints of a driver, where it has them, for a driver around it. */
export function savepointsOf(inner: Driver): Partial<Driver> {
  const { savepoint, rollbackToSavepoint, releaseSavepoint } = inner
  if (!savepoint || !rollbackToSavepoint || !releaseSavepoint) return {}
  return {
    savepoint: (...args) => savepoint.apply(inner, args),
    rollbackToSavepoint: (...args) => rollbackToSavepoint.apply(inner, args),
    releaseSavepoint: (...args) => releaseSavepoint.apply(inner, args),
  }
}
