/** A value of the job as a report has it: JSON where that can be, for people to read and to tell values apart. */
export function valueText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}
