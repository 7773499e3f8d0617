import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'

/** Where the database and the uploaded files are. */
export const folder = process.env.DATA ?? join(import.meta.dirname, '../data')
mkdirSync(folder, { recursive: true })

export const database = new Database(join(folder, 'app.db'))
database.pragma('journal_mode = wal')
database.exec(`create table if not exists customers (
  import_id text, line integer, name text, email text, primary key (import_id, line))`)
