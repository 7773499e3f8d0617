/** Milliseconds, or a whole number and a unit: `'500ms'`, `'10s'`, `'5m'` (minutes), `'12h'`, `'30d'`. */
export type Duration =
  | number
  | `${number}ms`
  | `${number}s`
  | `${number}m`
  | `${number}h`
  | `${number}d`
