import type { Store } from '../src/store/store.ts'
import { createMemoryStore } from '../src/store/memory.ts'

/** A database that Durably promises to work on, with the driver to reach it by. */
export interface Backend {
  readonly name: string
  /** A new, empty database. One that cannot be reached is an error, never a reason to skip. */
  open(): Promise<Database>
}

export interface Database {
  /** A store on it with its tables, as one process has it; each call another process's. */
  connect(): Promise<Store>
  close(): Promise<void>
}

export const backends: readonly Backend[] = [{ name: 'memory', open: openMemory }]

/** Processes share no memory; here the "other process" is another user of the same store. */
async function openMemory(): Promise<Database> {
  const store = createMemoryStore()
  return { connect: async () => store, close: () => store.close() }
}
