import type { Client, Transaction } from '@libsql/client'
import type { Database, Statement } from 'better-sqlite3'
import type pg from 'pg'
import type { Tap } from './kill-points.ts'

// The drivers themselves, with a tap on what they are told: the product does not know of it.

export function tapSqlite(database: Database, tap: Tap): Database {
  return overriding(database, {
    prepare(sql: string) {
      const statement: Statement = database.prepare(sql)
      const tapped = (call: (...values: unknown[]) => unknown) => (values: unknown) => {
        tap.before(sql)
        const answer = call.call(statement, values)
        tap.after(sql)
        return answer
      }
      return overriding(statement, { all: tapped(statement.all), run: tapped(statement.run) })
    },
  })
}

export function tapLibsql(client: Client, tap: Tap): Client {
  return overriding(client, {
    async transaction(mode: 'deferred') {
      const handle = await client.transaction(mode)
      return overriding(handle, {
        async execute(statement: { readonly sql: string; readonly args: [] } | string) {
          const sql = typeof statement === 'string' ? statement : statement.sql
          return told(sql, tap, () => handle.execute(statement))
        },
        executeMultiple: (sql: string) => told(sql, tap, () => handle.executeMultiple(sql)),
      } satisfies Partial<Record<keyof Transaction, unknown>>)
    },
  })
}

export function tapPool(pool: pg.Pool, tap: Tap): pg.Pool {
  return overriding(pool, {
    async connect() {
      const client = await pool.connect()
      return overriding(client, {
        query: (sql: string, values: unknown[]) => told(sql, tap, () => client.query(sql, values)),
      })
    },
  })
}

async function told<T>(sql: string, tap: Tap, send: () => Promise<T>): Promise<T> {
  tap.before(sql)
  const answer = await send()
  tap.after(sql)
  return answer
}

/** The object, but for some of its functions. */
function overriding<T extends object>(target: T, functions: Readonly<Record<string, unknown>>): T {
  return new Proxy(target, {
    get(_, key) {
      if (typeof key === 'string' && Object.hasOwn(functions, key)) return functions[key]
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
