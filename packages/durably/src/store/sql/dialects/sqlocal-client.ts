import type { Driver } from 'kysely'
import type { Env } from '../../../core/env.ts'
import { DurablyError } from '../../../core/error.ts'
import { within } from '../../../core/within.ts'

/** The parts of an SQLocal client that Durably uses. */
export interface SqlocalClient {
  getDatabaseInfo(): Promise<SqlocalInfo>
}

interface SqlocalInfo {
  readonly databasePath?: string
  readonly storageType?: string
}

/** The SQLocal client behind a driver, or null when the driver is of another kind. */
export function sqlocalClientOf(driver: Driver): SqlocalClient | null {
  const { client } = driver as { client?: Readonly<Record<string, unknown>> }
  const isClient =
    typeof client?.getDatabaseInfo === 'function' && typeof client.beginTransaction === 'function'
  return isClient ? (client as unknown as SqlocalClient) : null
}

// The first answer waits until the worker has loaded and compiled SQLite.
const ANSWER_DEADLINE_MS = 30_000

/**
 * The path of the database. Rejects with `DurablyError` when the client keeps it in memory without having been
 * asked to: SQLocal does that wherever it cannot reach the storage, and all would be lost with the page.
 */
export async function storedPath(client: SqlocalClient, env: Env): Promise<string> {
  const { databasePath = '', storageType } = await within(
    env,
    ANSWER_DEADLINE_MS,
    client.getDatabaseInfo(),
    NO_ANSWER,
  )
  if (storageType === 'memory' && !asksForMemory(client)) {
    throw new DurablyError('store', `The database would be lost with this page: ${whyInMemory()}`)
  }
  return databasePath
}

/** The client replaces the path in its answers, but not in what it was configured with. */
function asksForMemory(client: SqlocalClient): boolean {
  const { config } = client as { config?: { databasePath?: unknown } }
  return config?.databasePath === MEMORY
}

const MEMORY = ':memory:'

const NO_ANSWER =
  `SQLocal's worker did not answer within ${ANSWER_DEADLINE_MS / 1000} s; its script was probably not found. ` +
  "With Vite, add sqlocal's plugin (`sqlocal/vite`), or exclude sqlocal from optimizeDeps."

const IN_MEMORY = `To keep it in memory on purpose, open '${MEMORY}'.`

/** As far as the page can tell. */
function whyInMemory(): string {
  const { isSecureContext, crossOriginIsolated, navigator } = globalThis as {
    isSecureContext?: boolean
    crossOriginIsolated?: boolean
    navigator?: { storage?: { getDirectory?: unknown } }
  }
  if (isSecureContext === false) {
    return `browsers have storage for databases (OPFS) on https and localhost only. ${IN_MEMORY}`
  }
  if (crossOriginIsolated === false) {
    return (
      'the page is not cross-origin isolated, and without that there is no OPFS for SQLocal. Serve the page and ' +
      'its scripts with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: ' +
      `require-corp. ${IN_MEMORY}`
    )
  }
  if (typeof navigator?.storage?.getDirectory !== 'function') {
    return `this browser has no storage for databases (OPFS); private windows often lack it. ${IN_MEMORY}`
  }
  return `SQLocal could not open its file in OPFS; what it says stands in the console. ${IN_MEMORY}`
}
