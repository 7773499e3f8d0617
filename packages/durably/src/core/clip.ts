const MAX_CHARS = 1024 * 1024

/** Text for people as it is kept: of what is longer than anyone reads, its beginning and how long it was. */
export function clip(text: string): string {
  if (text.length <= MAX_CHARS) return text
  // What was clipped is clipped no more: it says how long it was at first.
  return `${text.slice(0, MAX_CHARS / 2)}… (${text.length} characters)`
}
