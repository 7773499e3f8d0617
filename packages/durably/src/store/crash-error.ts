import type { ErrorDetail } from '../core/error.ts'

/** What a run fails with whose workers died so often in a row; `step`: the one it was noted to be in. */
export function crashError(crashes: number, step: string | null): ErrorDetail {
  const message = `Run crashed ${crashes} times in a row`
  if (step === null) return { name: 'Error', message }
  return { name: 'Error', message: `${message}, last in step "${step}"`, step }
}
