import type { Env } from '../core/env.ts'
import { within } from '../core/within.ts'
import { UnusableStoreError, type Store } from '../store/store.ts'

/** Stands before the store, and is shut when the instance is closed. */
export interface Gate {
  /**
   * Every operation rejects at once after its `close`; those that take no longer the more there is reject when they are
   * not answered for long: a connection may be dead and not say so, and the next one is not.
   */
  readonly store: Store
  /** Throws `UnusableStoreError` after it. */
  requireOpen(): void
}

type Operation = (...args: never[]) => Promise<unknown>

const SILENT_MS = 10_000

// How long these take is a matter of how much there is, of a page within bounds. The writer has a time of
// its own, and nobody waits for a version.
const limits: Readonly<Partial<Record<string, number>>> = {
  migrate: Infinity,
  write: Infinity,
  remove: Infinity,
  runs: Infinity,
  version: Infinity,
  journal: 60_000,
  purge: 60_000,
} satisfies Partial<Record<keyof Store, number>>

export function createGate(store: Store, env: Pick<Env, 'after'>): Gate {
  let isShut = false

  const operations = Object.entries(store).map(([name, operation]: [string, Operation | null]) => {
    if (operation === null) return [name, null]
    const pass: Operation = (...args) => {
      if (isShut) return Promise.reject(closedError())
      const answer = operation(...args)
      const limitMs = limits[name] ?? SILENT_MS
      return limitMs === Infinity ? answer : within(env, limitMs, answer, silentFor(limitMs))
    }
    return [name, pass]
  })
  return {
    requireOpen() {
      if (isShut) throw closedError()
    },
    store: {
      ...(Object.fromEntries(operations) as Store),
      async close() {
        isShut = true
        await store.close()
      },
    },
  }
}

export function closedError(): UnusableStoreError {
  const message = 'This instance of Durably was closed; make another one with createDurably'
  return new UnusableStoreError('closed', message)
}

function silentFor(ms: number): string {
  return `The database has not answered for ${ms / 1000} s; what it was to do may be done nevertheless`
}
