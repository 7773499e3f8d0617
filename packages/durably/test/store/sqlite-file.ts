import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dialect } from 'kysely'
import { onTestFinished } from 'vitest'
import { createEnv } from '../../src/env.ts'
import { createSqlStore, type SqlStore } from '../../src/store/sql/sql-store.ts'

/** A path for a database file in a folder of its own, removed after the test. */
export function newFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'durably-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'test.db')
}

/** A store with its tables, closed after the test. */
export async function openStore(dialect: Dialect): Promise<SqlStore> {
  const opened = createSqlStore({ dialect, env: createEnv() })
  onTestFinished(() => opened.store.close())
  await opened.store.migrate()
  return opened
}
