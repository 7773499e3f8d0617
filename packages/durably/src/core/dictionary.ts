/**
 * Values by key, where keys come and go all the time. A `Map` gets a new table every so often, and in V8 each table
 * points to the one that came after it: from one that has grown old, the collector of young objects goes on to all of
 * them, and to whatever they had in them. A hundred runs at once cost a tenth more time that way, empty ones a third.
 * An object has no such past.
 */
export interface Dictionary<T> {
  readonly size: number
  get(key: string): T | undefined
  has(key: string): boolean
  set(key: string, value: T): void
  /** Whether it was there. */
  delete(key: string): boolean
  /** In no particular order, as they are now. */
  keys(): string[]
  values(): T[]
}

export function createDictionary<T>(): Dictionary<T> {
  // Without a prototype, every string is a key like any other.
  const entries = Object.create(null) as Record<string, T>
  let size = 0
  return {
    get size() {
      return size
    },
    get: (key) => entries[key],
    has: (key) => key in entries,
    set(key, value) {
      if (!(key in entries)) size++
      entries[key] = value
    },
    delete(key) {
      if (!(key in entries)) return false
      size--
      return delete entries[key]
    },
    keys: () => Object.keys(entries),
    values: () => Object.values(entries),
  }
}
