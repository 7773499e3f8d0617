import { createDurably } from '@coji/durably'
import { sqliteDialect } from '@coji/durably/sqlite'
import Database from 'better-sqlite3'
import type { Tables } from './airports.ts'
import { createImportAirports } from './job.ts'

/** Durably and the app's own tables in one SQLite file; what the worker and its client have in common. */
export function openDurably(file: string) {
  const durably = createDurably({
    dialect: sqliteDialect({ database: new Database(file) }),
    // A dead worker's runs are taken over after this time. The default, 30 seconds, is long to watch.
    staleThreshold: '2s',
    heartbeatInterval: '500ms',
    pollingInterval: '250ms',
  })
  const db = durably.db.$extendTables<Tables>()
  const { importAirports } = durably.register({ importAirports: createImportAirports(db) })
  return { durably, db, importAirports }
}
