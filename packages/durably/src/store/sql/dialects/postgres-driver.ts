import type { DatabaseConnection, Driver } from 'kysely'
import { savepointsOf } from './savepoints.ts'

/**
 * The driver of a dialect for PostgreSQL. A statement whose answer did not come in time may be executed all the same,
 * so a connection whose `begin` failed may be inside a transaction: what is written through it next would be
 * acknowledged, and never committed. It is rolled back before anyone uses it. The pool or instance belongs to whoever
 * made it, and stays open.
 */
export function createPostgresDriver(driver: Driver): Driver {
  // Later releases of Kysely discard a connection that cannot be rolled back; earlier ones give it to the next.
  const unsettled = new WeakSet<DatabaseConnection>()

  async function rollBack(connection: DatabaseConnection): Promise<void> {
    unsettled.add(connection)
    await driver.rollbackTransaction(connection)
    unsettled.delete(connection)
  }

  return {
    init: (options) => driver.init(options),
    async acquireConnection(options) {
      const connection = await driver.acquireConnection(options)
      if (!unsettled.has(connection)) return connection
      try {
        await rollBack(connection)
        return connection
      } catch (error) {
        await driver.releaseConnection(connection)
        throw error
      }
    },
    async beginTransaction(connection, settings) {
      try {
        await driver.beginTransaction(connection, settings)
      } catch (error) {
        // The first error says more than that of the rollback would.
        await rollBack(connection).catch(() => {})
        throw error
      }
    },
    commitTransaction: (connection) => driver.commitTransaction(connection),
    rollbackTransaction: rollBack,
    releaseConnection: (connection) => driver.releaseConnection(connection),
    ...savepointsOf(driver),
    destroy: async () => {},
  }
}
