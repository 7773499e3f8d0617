/**
 * How the processes that share a database wake each other. A wake-up may be lost, late or doubled: it only makes other
 * processes look earlier, and decides nothing.
 */
export interface Wakeups {
  /** Calls `onWake` with what others sent. Resolves once this is proven to work, with a function that stops it. */
  listen(onWake: (message: string) => void): Promise<() => Promise<void>>
  /** Tells the other processes, after the change was committed. A message has at most 7,000 bytes. */
  notify(message: string): Promise<void>
}
