import type { Duration } from './duration.ts'
import { parseDuration } from './parse-duration.ts'

/** How long to wait, and what to say then. */
export interface WaitHow {
  readonly timeoutMs: number | null
  readonly timeoutMessage: string
  readonly signal?: AbortSignal | undefined
}

/** How a call waits that may have a `timeout`; `then` is what its message ends with. Throws `ValidationError`. */
export function waitHow(
  call: string,
  {
    timeout,
    signal,
  }: { readonly timeout?: Duration | undefined; readonly signal?: AbortSignal | undefined },
  then = '',
): WaitHow {
  const timeoutMs = timeout === undefined ? null : parseDuration(timeout, 'timeout')
  const timeoutMessage = `${call} timeout after ${timeoutMs}ms${then}`
  return { timeoutMs, timeoutMessage, signal }
}
