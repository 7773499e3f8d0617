import type { ClientConfig } from 'sqlocal'
import { SQLocalKysely } from 'sqlocal/kysely'
import { openSql, type Backend } from './backend.ts'

/** The same as `backends.ts`, for tests that run in a browser. */
export const backends: readonly Backend[] = [
  {
    name: 'SQLocal on OPFS',
    open: async () => {
      const path = `${crypto.randomUUID()}.db`
      const clients: SQLocalKysely[] = []
      const connect = () => {
        const client = new SQLocalKysely({ databasePath: path, onInit: hurry })
        clients.push(client)
        return { dialect: client.dialect, close: () => client.destroy() }
      }
      const remove = () => new SQLocalKysely(path).deleteDatabaseFile(undefined, true)
      const database = openSql(connect, remove)
      return {
        ...database,
        async connect(clock) {
          const store = await database.connect(clock)
          // Nobody cuts the power here: what waits for the disk is tested in storage.test.ts.
          const client = clients.at(-1)
          if (client !== undefined) await client.sql`pragma synchronous = off`
          return store
        },
      }
    },
  },
]

/** For what tests write by themselves, to empty tables: Durably sets the mode of its connections. */
const hurry: NonNullable<ClientConfig['onInit']> = (sql) => [sql`pragma journal_mode = memory`]
