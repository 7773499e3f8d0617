// One that gets no answer does not keep the others from theirs.
const MAX_UNDER_WAY = 2
// Each may hold a large value.
const MAX_GATHERED = 100

/**
 * Reads what has an id. Those asked for while others are read share the next statement: a hundred runs may end at
 * once, and have someone who waits for each.
 */
export function gatherReads<T>(
  read: (ids: readonly string[]) => Promise<ReadonlyMap<string, T>>,
): (id: string) => Promise<T | null> {
  type Asked = PromiseWithResolvers<T | null>
  let gathered = new Map<string, Asked>()
  let isGathering = false
  let underWay = 0

  function readSoon(): void {
    if (isGathering || underWay === MAX_UNDER_WAY || gathered.size === 0) return
    isGathering = true
    underWay++
    void readGathered().finally(() => {
      underWay--
      readSoon()
    })
  }

  async function readGathered(): Promise<void> {
    // What is asked for in the same breath comes along.
    await Promise.resolve()
    isGathering = false
    const all = [...gathered]
    gathered = new Map(all.slice(MAX_GATHERED))
    await answer(new Map(all.slice(0, MAX_GATHERED)))
  }

  /** Where one cannot be read, only who asked for that is told so. */
  async function answer(asked: ReadonlyMap<string, Asked>): Promise<void> {
    try {
      const found = await read([...asked.keys()])
      for (const [id, { resolve }] of asked) resolve(found.get(id) ?? null)
    } catch (error) {
      if (asked.size > 1) await Promise.all([...asked].map((one) => answer(new Map([one]))))
      else for (const { reject } of asked.values()) reject(error)
    }
  }

  return (id) => {
    const asked = gathered.get(id) ?? Promise.withResolvers<T | null>()
    gathered.set(id, asked)
    readSoon()
    return asked.promise
  }
}
