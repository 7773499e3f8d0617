/** How much of an answer may be there again, in characters, for objects that occur more than once. */
const MAX_AGAIN = 4 * 1024 * 1024

/** An object on the way down. */
interface Holder {
  readonly value: unknown
  /** What JSON is made of in its place. */
  readonly shown: unknown
  readonly isAgain: boolean
}

/** JSON of whatever can be stored: where JSON has no word for it, as near to it as a reader would expect. */
export function toPlainText(value: unknown): string {
  const above: Holder[] = []
  const known = new Set<unknown>()
  // As long as `above`; a value may be nested as deeply as there is room.
  const onTheWay = new Set<unknown>()
  let again = 0

  function leaveTo(holder: unknown): void {
    for (
      let last = above.at(-1);
      last !== undefined && last.shown !== holder;
      last = above.at(-1)
    ) {
      above.pop()
      onTheWay.delete(last.value)
    }
  }

  function show(this: unknown, key: string, part: unknown): unknown {
    leaveTo(this)
    const holder = above.at(-1)
    const isBelow = holder?.isAgain === true
    const isCycle = onTheWay.has(part)
    const isAgain = isBelow || (known.has(part) && !isCycle)
    // Parts of parts that are all shared double at each level.
    if (isAgain && again > MAX_AGAIN) return '[again]'
    const shown = isCycle ? '[cycle]' : inJson(part)
    // All that is written: what doubles may be next to nothing under a long key.
    if (isAgain) again += lengthOf(shown)
    if (isBelow && !Array.isArray(holder.shown)) again += lengthOf(key)
    if (typeof shown !== 'object' || shown === null) return shown
    above.push({ value: part, shown, isAgain })
    onTheWay.add(part)
    known.add(part)
    return shown
  }

  return JSON.stringify(value, show)
}

/** How many characters it is in JSON, with what stands between it and the next; of objects without their parts. */
function lengthOf(shown: unknown): number {
  if (typeof shown === 'object' && shown !== null) return '{},'.length
  return String(JSON.stringify(shown)).length + 1
}

function inJson(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Map || value instanceof Set) return [...value]
  if (value instanceof RegExp || value instanceof URLSearchParams) return String(value)
  if (value instanceof Error) return { name: value.name, message: value.message }
  if (value instanceof ArrayBuffer) return [...new Uint8Array(value)]
  if (ArrayBuffer.isView(value)) return [...bytesOf(value)]
  if (value instanceof String) return value.valueOf()
  return value
}

function bytesOf(view: ArrayBufferView): Iterable<unknown> {
  if (view instanceof DataView) return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  return view as unknown as Iterable<unknown>
}
