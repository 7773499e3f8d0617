import type { Env } from '../core/env.ts'
import { DurablyError } from '../core/error.ts'

/** How long those wait who wait for a write: a database may well answer nothing at all. One timer serves them all. */
export interface Patience {
  /** Until it is over, or until as many items ought to have been written, when `lose` is called. */
  begin(items: number, lose: (error: unknown) => void): Wait
  /** Nobody comes so soon: no timer stays behind if nobody waits. */
  rest(): void
}

export interface Wait {
  readonly deadline: number
  /** It is on its way, and it is not known what becomes of it. */
  sent(): void
  /** It was not written, for this reason: to be told when it takes too long. */
  failed(error: unknown): void
  over(): void
  /** Also because it was told that it takes too long. */
  isOver(): boolean
}

interface InTime extends Wait {
  readonly lose: () => void
}

const PATIENCE_MS = 5000
/** What the database says after so long itself, of a lock, tells more. */
const GRACE_MS = 1000
/** Ten times what one costs in a large batch. */
const ITEM_MS = 1

export function createPatience(env: Env): Patience {
  const waits = new Set<InTime>()
  let timer: { readonly dueAt: number; readonly cancel: () => void } | null = null

  function look(): void {
    const dueAt = timer?.dueAt ?? 0
    timer = null
    const now = env.elapsed()
    // This process did nothing for some time: what the database has answered meanwhile is still to be heard.
    if (now - dueAt > GRACE_MS) return lookAt(now + GRACE_MS)
    const late = [...waits].filter(({ deadline }) => deadline + GRACE_MS <= now)
    for (const wait of late) waits.delete(wait)
    let next = Number.POSITIVE_INFINITY
    for (const { deadline } of waits) next = Math.min(next, deadline)
    if (waits.size > 0) lookAt(next + GRACE_MS)
    for (const { lose } of late) lose()
  }

  function lookAt(dueAt: number): void {
    if (timer !== null && timer.dueAt <= dueAt) return
    timer?.cancel()
    timer = { dueAt, cancel: env.after(Math.max(0, dueAt - env.elapsed()), look) }
  }

  return {
    begin(items, lose) {
      let reason: unknown = null
      let isSent = false
      const wait: InTime = {
        deadline: env.elapsed() + Math.max(PATIENCE_MS, items * ITEM_MS),
        sent() {
          isSent = true
        },
        failed(error) {
          reason = error
          isSent = false
        },
        over: () => void waits.delete(wait),
        isOver: () => !waits.has(wait),
        lose: () => lose(isSent || reason === null ? tooLong(reason) : reason),
      }
      waits.add(wait)
      lookAt(wait.deadline + GRACE_MS)
      return wait
    },
    rest() {
      if (waits.size > 0) return
      timer?.cancel()
      timer = null
    },
  }
}

function tooLong(cause: unknown): DurablyError {
  const message =
    'The database has not answered in time: what was to be written may be stored nevertheless'
  return new DurablyError('store', message, cause === null ? {} : { cause })
}
