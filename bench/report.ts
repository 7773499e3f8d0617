/** One line of the result: what was measured, on what, and what it must reach. */
export interface Line {
  readonly measure: string
  readonly database: string
  readonly figure: string
  readonly control: string
  /** The value that the bar is about. */
  readonly value: number
  readonly bar: number
  /** Whether the value must be at least, or at most, the bar. */
  readonly must: 'reach' | 'stay below'
}

export function print({ measure, database, figure, control, value, bar, must }: Line): void {
  const ok = must === 'reach' ? value >= bar : value <= bar
  const sign = must === 'reach' ? '≥' : '≤'
  console.log(
    [
      ok ? 'ok  ' : 'MISS',
      measure.padEnd(34),
      database.padEnd(34),
      figure.padStart(18),
      control.padStart(24),
      `${value.toFixed(2)} (${sign} ${bar})`.padStart(18),
    ].join(' '),
  )
}

export function perSecond(rate: number): string {
  return `${Math.round(rate).toLocaleString('en')}/s`
}

export function ms(time: number): string {
  return `${time.toFixed(time < 10 ? 2 : 1)} ms`
}

/** A time that must stay below another one. */
export function printTime(
  { measure, database, control }: Pick<Line, 'measure' | 'database' | 'control'>,
  time: number,
  bar: number,
): void {
  const rounded = Math.round(bar * 100) / 100
  const figure = ms(time)
  print({ measure, database, figure, control, value: time, bar: rounded, must: 'stay below' })
}
