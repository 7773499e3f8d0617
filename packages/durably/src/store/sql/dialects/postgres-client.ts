/** The parts of a `pg.Pool` that Durably uses. */
export interface PgPool {
  readonly options?: { readonly max?: number | undefined }
  connect(): Promise<PgClient>
  query(text: string, values: unknown[]): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: (client: PgClient) => void): unknown
}

export interface PgClient {
  query(query: PgQuery): Promise<PgResult>
  on(event: 'notification', listener: (message: PgNotification) => void): unknown
  on(event: 'error' | 'end', listener: (error?: Error) => void): unknown
  release(destroy?: boolean): void
}

interface PgQuery {
  readonly name?: string
  readonly text: string
  readonly values: unknown[]
}

interface PgResult {
  readonly command: string
  readonly rowCount: number | null
  readonly rows: unknown[]
}

interface PgNotification {
  readonly channel: string
  readonly payload?: string | undefined
}

/** The parts of a postgres.js client that Durably uses. */
export interface PostgresJsClient {
  listen(
    channel: string,
    onNotify: (message: string) => void,
    onListen: () => void,
  ): PromiseLike<{ unlisten(): Promise<void> }>
  notify(channel: string, message: string): PromiseLike<unknown>
}

/** The parts of a PGlite that Durably uses. */
export interface PGliteClient {
  listen(channel: string, onNotify: (message: string) => void): Promise<() => Promise<void>>
  query(text: string, values: unknown[]): Promise<unknown>
}

export type PostgresSource = PgPool | PostgresJsClient | PGliteClient
