const BUSY = 5
const PROTOCOL = 15

// TOOBIG, CONSTRAINT, MISMATCH, RANGE.
const rejections = new Set([18, 19, 20, 25])

// better-sqlite3 gives names only.
const codesByName: readonly (readonly [name: string, code: number])[] = [
  ['SQLITE_BUSY', BUSY],
  ['SQLITE_PROTOCOL', PROTOCOL],
  ['SQLITE_TOOBIG', 18],
  ['SQLITE_CONSTRAINT', 19],
  ['SQLITE_MISMATCH', 20],
  ['SQLITE_RANGE', 25],
]

/** Another connection has the lock, or someone iterates over rows: nothing happened, and the same may work in a moment. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error)
  return code === BUSY || code === PROTOCOL || isIteratedOver(error)
}

/** better-sqlite3 refuses all writes then, and the end of a transaction too; it has no code for it. */
function isIteratedOver(error: unknown): boolean {
  return error instanceof TypeError && error.message.includes('busy executing a query')
}

export function isRejection(error: unknown): boolean {
  const code = primaryCode(error)
  return code === undefined ? error instanceof RangeError : rejections.has(code)
}

// These have no codes of their own.

export function isTableMissing(error: unknown): boolean {
  return says(error, 'no such table: ')
}

export function isWithoutTransaction(error: unknown): boolean {
  return says(error, 'no transaction is active')
}

function says(error: unknown, text: string): boolean {
  const { message } = (error ?? {}) as { message?: unknown }
  return typeof message === 'string' && message.includes(text)
}

/** SQLite's result code without its extension, from wherever the driver keeps it. */
function primaryCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { rawCode, errcode, code, message } = error as Record<string, unknown>
  if (typeof rawCode === 'number') return rawCode & 0xff
  if (typeof errcode === 'number') return errcode & 0xff
  if (typeof code !== 'string') return codeIn(message)
  return codesByName.find(([name]) => code.startsWith(name))?.[1]
}

/** All that is left of an error of SQLite's WebAssembly build once it came out of a worker is its text. */
function codeIn(message: unknown): number | undefined {
  const [, code] = /^SQLITE_\w+: sqlite3 result code (\d+):/.exec(String(message)) ?? []
  return code === undefined ? undefined : Number(code) & 0xff
}
