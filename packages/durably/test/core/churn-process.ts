import { getHeapSpaceStatistics } from 'node:v8'
import { createDictionary } from '../../src/core/dictionary.ts'

// Tells how much of what came and went stays in memory at most, until the old objects are looked through, too.
const table = process.argv[2] === 'Map' ? new Map<string, unknown>() : createDictionary<unknown>()
const collectYoung = (): unknown => globalThis.gc?.({ type: 'minor' })
const here: string[] = []
let most = 0

for (let i = 0; i < 20_000; i++) {
  const key = `run ${i}`
  table.set(
    key,
    Array.from({ length: 200 }, () => [i]),
  )
  here.push(key)
  const gone = here.length > 100 ? here.shift() : undefined
  if (gone !== undefined) table.delete(gone)
  if (i % 1000 > 0) continue
  collectYoung()
  most = Math.max(most, megabytesOfOldObjects())
}
process.send?.(most)

function megabytesOfOldObjects(): number {
  const old = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')
  return (old?.space_used_size ?? 0) / 2 ** 20
}
