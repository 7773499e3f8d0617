import type { Batch, Store, Transition } from '../../../src/store/store.ts'

/** What the engine asks of a database. */
export type Operation = Exclude<keyof Store, 'version' | 'close'> | 'version'

/**
 * Stands between an instance and its database: calls `proceed`, or does not; passes its answer on, or does not.
 */
export type Intercept = (
  operation: Operation,
  proceed: () => Promise<unknown>,
  request: unknown,
) => Promise<unknown>

/** The way from one process to its database. */
export interface Wire {
  readonly store: Store
  /** How often each operation was asked for. */
  readonly calls: Map<Operation, number>
  /** Replaces what stands in between; null: nothing. */
  intercept(by: Intercept | null): void
  /** From now on no call is made and no answer comes. */
  cut(): void
}

/** `track` is told of every call that is under way. The store itself is its opener's to close. */
export function createWire(store: Store, track: <T>(work: Promise<T>) => Promise<T>): Wire {
  const calls = new Map<Operation, number>()
  let between: Intercept = (_, proceed) => proceed()
  let isCut = false

  async function pass(operation: Operation, ask: Ask, args: readonly unknown[]): Promise<unknown> {
    calls.set(operation, (calls.get(operation) ?? 0) + 1)
    if (isCut) return never
    try {
      const answer = await between(operation, () => track(ask(...args)), args[0])
      return await (isCut ? never : answer)
    } catch (error) {
      if (isCut) return never
      throw error
    }
  }

  const operations = Object.entries(store).map(([name, ask]: [string, unknown]) => {
    if (name === 'close') return [name, async () => {}]
    if (typeof ask !== 'function') return [name, ask]
    return [name, (...args: unknown[]) => pass(name as Operation, ask as Ask, args)]
  })
  return {
    store: Object.fromEntries(operations) as Store,
    calls,
    intercept(by) {
      between = by ?? ((_, proceed) => proceed())
    },
    cut() {
      isCut = true
    },
  }
}

type Ask = (...args: readonly unknown[]) => Promise<unknown>

const never = new Promise<never>(() => {})

/** The database cannot be reached for `operations` (none given: for any). */
export function unreachable(...operations: Operation[]): Intercept {
  return async (operation, proceed) => {
    if (operations.length === 0 || operations.includes(operation)) {
      throw new Error('the database is away')
    }
    return proceed()
  }
}

/** What is asked for is done, but the answer gets lost. */
export function answersLost(...operations: Operation[]): Intercept {
  return async (operation, proceed) => {
    const answer = await proceed()
    if (operations.includes(operation)) throw new Error('the connection broke')
    return answer
  }
}

/** Whether what is asked for is a write that ends a run in this way, or parks it. */
export function isEnding(request: unknown, transition: Transition['name']): boolean {
  const { commits } = (request ?? {}) as Partial<Batch>
  return commits?.some((commit) => commit.transition?.name === transition) ?? false
}

/** Lets the first call that `matches` reach the database, and its answer back, only when `open` is called. */
export function hold(
  matches: (operation: Operation, request: unknown) => boolean,
  side: 'before' | 'after' = 'before',
): { readonly intercept: Intercept; readonly reached: Promise<void>; open(): void } {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  let isTaken = false
  return {
    reached: reached.promise,
    open: opened.resolve,
    async intercept(operation, proceed, request) {
      if (isTaken || !matches(operation, request)) return proceed()
      isTaken = true
      const early = side === 'after' ? await proceed() : null
      reached.resolve()
      await opened.promise
      return early ?? proceed()
    },
  }
}
