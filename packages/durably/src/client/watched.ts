/** The state of requests. */
export interface Asking {
  /** A request is under way. */
  readonly isPending: boolean
  /** Why the last request was refused. */
  readonly error: Error | null
}

type Ask<A extends unknown[], T> = (...args: A) => Promise<T>

/**
 * Makes functions that tell how it goes with what they ask for. What is refused rejects; whoever does not wait for it
 * finds the error where it was told.
 */
export function createWatched(
  tell: (change: Partial<Asking>) => void,
): <A extends unknown[], T>(ask: Ask<A, T>) => Ask<A, T> {
  let pending = 0

  async function perform<T>(ask: () => Promise<T>): Promise<T> {
    pending++
    tell({ isPending: true, error: null })
    try {
      return await ask()
    } catch (error) {
      tell({ error: error as Error })
      throw error
    } finally {
      tell({ isPending: --pending > 0 })
    }
  }

  return (ask) =>
    (...args) => {
      const performed = perform(() => ask(...args))
      performed.catch(() => {})
      return performed
    }
}
