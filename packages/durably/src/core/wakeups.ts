/**
 * How the processes that share a database wake each other. A wake-up may be lost, late or doubled: it makes
 * others look earlier, and decides nothing.
 */
export interface Wakeups {
  /** Calls `onWake` with what others sent; resolves once that is proven to work. The result stops it. */
  listen(onWake: (message: string) => void): Promise<() => Promise<void>>
  /** Tells the others, after what it is about was committed. At most 7,000 bytes. */
  notify(message: string): Promise<void>
}
