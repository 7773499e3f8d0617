import type { Driver } from 'kysely'

/** What is used of a libSQL client. */
export interface LibsqlClient {
  readonly protocol: string
  execute(statement: string): Promise<LibsqlResult>
  transaction(mode: 'deferred'): Promise<LibsqlTransaction>
}

export interface LibsqlTransaction {
  readonly closed: boolean
  execute(statement: string | { sql: string; args: readonly unknown[] }): Promise<LibsqlResult>
  executeMultiple(sql: string): Promise<void>
  close(): void
}

export interface LibsqlResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly rowsAffected: number
  readonly lastInsertRowid?: bigint | undefined
}

/** The libSQL client behind a driver, or null when the driver is of another kind. */
export function clientOf(driver: Driver): LibsqlClient | null {
  const { client } = driver as { client?: Partial<LibsqlClient> & { executeMultiple?: unknown } }
  const isClient =
    typeof client?.protocol === 'string' && typeof client.executeMultiple === 'function'
  return isClient ? (client as LibsqlClient) : null
}
