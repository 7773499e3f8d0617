import { storeOperations } from './plan.ts'

/** How often each fault met each operation, as lines of a table; `least` marks what was met too seldom. */
export function tabulate(hits: ReadonlyMap<string, number>, least: number): string[] {
  return CELLS.map((cell) => {
    const count = hits.get(cell) ?? 0
    return `${cell.padEnd(24)} ${String(count).padStart(7)}${count < least ? '  too few' : ''}`
  })
}

/** Cells that were met too seldom to say that they were tried. */
export function metTooSeldom(hits: ReadonlyMap<string, number>, least: number): string[] {
  return CELLS.filter((cell) => (hits.get(cell) ?? 0) < least)
}

const FAULTS = [
  ...['crash', 'error', 'slow'].flatMap((fault) => [`${fault} before`, `${fault} after`]),
  'late before',
  'silent before',
]
const CELLS = FAULTS.flatMap((fault) => {
  const [kind, when] = fault.split(' ')
  return storeOperations.map((operation) => `${kind} ${operation} ${when}`)
})
