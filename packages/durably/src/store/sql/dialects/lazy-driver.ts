import type { Driver } from 'kysely'

/** A driver that is made when it is first used: making the user's may open the database. */
export function createLazyDriver(make: () => Driver): Driver {
  let made: Driver | undefined
  const driver = () => (made ??= make())
  const need = <T>(method: T | undefined): T => {
    if (method === undefined) throw new Error('This driver has no savepoints')
    return method
  }
  return {
    init: (options) => driver().init(options),
    acquireConnection: (options) => driver().acquireConnection(options),
    beginTransaction: (connection, settings) => driver().beginTransaction(connection, settings),
    commitTransaction: (connection) => driver().commitTransaction(connection),
    rollbackTransaction: (connection) => driver().rollbackTransaction(connection),
    savepoint: (...args) => need(driver().savepoint).apply(driver(), args),
    rollbackToSavepoint: (...args) => need(driver().rollbackToSavepoint).apply(driver(), args),
    releaseSavepoint: (...args) => need(driver().releaseSavepoint).apply(driver(), args),
    releaseConnection: (connection) => driver().releaseConnection(connection),
    destroy: (options) => driver().destroy(options),
  }
}
