import type { PgPool } from './postgres-client.ts'

/**
 * A connection that breaks while nobody listens to it ends the process. The pool listens to those that lie idle, whoever
 * queries gets the error anyway; but one can break just as it is handed out for the first time.
 */
export function withstand(pool: PgPool): void {
  if (!sturdy.has(pool)) {
    pool.on('error', () => {})
    pool.on('connect', (client) => client.on('error', () => {}))
  }
  sturdy.add(pool)
}

const sturdy = new WeakSet<PgPool>()
