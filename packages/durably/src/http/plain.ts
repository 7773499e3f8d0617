/** How much of an answer may be there again, in characters, for objects that occur more than once. */
const MAX_AGAIN = 4 * 1024 * 1024

/** An object on the way down. */
interface Holder {
  readonly value: object
  /** What JSON is made of in its place. */
  readonly shown: unknown
  readonly isAgain: boolean
}

/** JSON of whatever can be stored: where JSON has no word for it, as near to it as a reader would expect. */
export function toPlainText(value: unknown): string {
  const above: Holder[] = []
  const known = new Set<object>()
  // As long as `above`; a value may be nested as deeply as there is room.
  const onTheWay = new Set<object>()
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

  function show(this: unknown, _key: string, part: unknown): unknown {
    leaveTo(this)
    if (above.at(-1)?.isAgain === true) again += typeof part === 'string' ? part.length : 1
    if (typeof part === 'bigint') return part.toString()
    if (typeof part !== 'object' || part === null) return part
    if (onTheWay.has(part)) return '[cycle]'
    const isAgain = above.at(-1)?.isAgain === true || known.has(part)
    // Parts of parts that are all shared double at each level.
    if (isAgain && ++again > MAX_AGAIN) return '[again]'
    const shown = inJson(part)
    if (typeof shown !== 'object') return shown
    above.push({ value: part, shown, isAgain })
    onTheWay.add(part)
    known.add(part)
    return shown
  }

  return JSON.stringify(value, show)
}

function inJson(value: object): unknown {
  if (value instanceof Map || value instanceof Set) return [...value]
  if (value instanceof RegExp) return String(value)
  if (value instanceof Error) return { name: value.name, message: value.message }
  if (ArrayBuffer.isView(value)) return [...bytesOf(value)]
  return value
}

function bytesOf(view: ArrayBufferView): Iterable<unknown> {
  if (view instanceof DataView) return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  return view as unknown as Iterable<unknown>
}
