import { UnusableStoreError, type Store } from '../store/store.ts'

/** Stands before the store, and is shut when the instance is closed. */
export interface Gate {
  /** Every operation rejects at once after its `close`. */
  readonly store: Store
  /** Throws `UnusableStoreError` after it. */
  requireOpen(): void
}

type Operation = (...args: never[]) => Promise<unknown>

export function createGate(store: Store): Gate {
  let isShut = false

  const operations = Object.entries(store).map(([name, operation]: [string, Operation | null]) => {
    if (operation === null) return [name, null]
    const pass: Operation = (...args) =>
      isShut ? Promise.reject(new UnusableStoreError(CLOSED)) : operation(...args)
    return [name, pass]
  })
  return {
    requireOpen() {
      if (isShut) throw new UnusableStoreError(CLOSED)
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

const CLOSED = 'This instance of Durably was closed; make another one with createDurably'
