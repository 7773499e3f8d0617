const MAX_SHOWN = 80

/** The value as a message names it: short, whatever it is, and never an error of its own. */
export function show(value: unknown): string {
  switch (typeof value) {
    case 'string':
      // Escaped, so that what cannot be seen can be read.
      return `'${shorten(JSON.stringify(value.slice(0, MAX_SHOWN + 1)).slice(1, -1))}'`
    case 'object':
      return value === null ? 'null' : showObject(value)
    case 'bigint':
      return `${shorten(String(value))}n`
    case 'function':
      return 'a function'
    default:
      return shorten(String(value))
  }
}

function shorten(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`
}

/** Not what is in it: that may be anything, and any amount of it. */
function showObject(value: object): string {
  try {
    if (Array.isArray(value)) return `an array of ${value.length}`
    return value instanceof Date ? String(value) : 'an object'
  } catch {
    return 'an object'
  }
}
