// Not what the platform itself is made of, such as node:internal/….
const FRAME = /[\s(@]((?:file:\/\/|[A-Za-z]:[\\/]|\/)[^()]*?:\d+):\d+\)?$/
const FILE = 'file://'

/** `file:line` of who called into this folder's code; null where the platform does not tell. */
export function sourceLine(): string | null {
  const frames = (new Error('where').stack ?? '').split('\n').map(placeOf)
  return frames.find((place) => place !== null && !isOurs(place)) ?? null
}

function placeOf(frame: string): string | null {
  const place = FRAME.exec(` ${frame.trimEnd()}`)?.[1] ?? null
  return place?.startsWith(FILE) ? decodeURI(place.slice(FILE.length)) : place
}

// With source maps the platform tells the place in the sources, also of what was built from them.
const home = decodeURI(new URL('../..', import.meta.url).pathname)
const sources = ['src/', 'dist/'].map((folder) => `${home}${folder}`)

/** The engine calls a step's function; what the user passed to it directly has no line of its own. */
function isOurs(place: string): boolean {
  return sources.some((folder) => place.startsWith(folder))
}
