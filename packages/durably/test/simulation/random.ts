/** Chance that is the same each time it is asked with the same seed. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** A whole number from 0 to `below` - 1. */
  int(below: number): number
  chance(probability: number): boolean
  pick<const T>(from: readonly [T, ...T[]]): T
  /** Another stream, which draws from this one do not disturb. */
  fork(label: string): Random
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const int = (below: number): number => Math.floor(next() * below)
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick: (from) => from[int(from.length)] ?? from[0],
    fork: (label) => createRandom(hash(label, seed)),
  }
}

function hash(text: string, seed: number): number {
  let hashed = seed ^ 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hashed = Math.imul(hashed ^ text.charCodeAt(i), 0x01000193)
  }
  return hashed >>> 0
}
