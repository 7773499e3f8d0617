import type { Env } from '../core/env.ts'
import { DurablyError } from '../core/error.ts'

/** How long those wait who wait for a write: a database may well answer nothing at all. One timer serves them all. */
export interface Patience {
  /** Until `over`, or until as many items ought to have been written, when `lose` is called. */
  begin(items: number, lose: (error: unknown) => void): Wait
  /** Nobody comes so soon: no timer stays behind if nobody waits. */
  rest(): void
}

interface Wait {
  readonly deadline: number
  /** Why it takes so long, to be told when it is too long. */
  failed(error: unknown): void
  over(): void
}

const PATIENCE_MS = 5000
/** What the database says after so long itself, of a lock, tells more. */
const GRACE_MS = 1000
/** Ten times what one costs in a large batch. */
const ITEM_MS = 1

export function createPatience(env: Env): Patience {
  const waits = new Set<Wait & { readonly lose: () => void }>()
  let cancelTimer: (() => void) | null = null

  function look(): void {
    cancelTimer = null
    const now = env.elapsed()
    const late = [...waits].filter(({ deadline }) => deadline + GRACE_MS <= now)
    for (const wait of late) waits.delete(wait)
    let next = Number.POSITIVE_INFINITY
    for (const { deadline } of waits) next = Math.min(next, deadline)
    if (waits.size > 0) cancelTimer = env.after(next + GRACE_MS - now, look)
    for (const { lose } of late) lose()
  }

  return {
    begin(items, lose) {
      let reason: unknown = null
      const wait = {
        deadline: env.elapsed() + Math.max(PATIENCE_MS, items * ITEM_MS),
        failed(error: unknown) {
          reason = error
        },
        over: () => void waits.delete(wait),
        lose: () => lose(reason ?? new DurablyError('store', TOO_LONG)),
      }
      waits.add(wait)
      cancelTimer ??= env.after(PATIENCE_MS + GRACE_MS, look)
      return wait
    },
    rest() {
      if (waits.size > 0) return
      cancelTimer?.()
      cancelTimer = null
    },
  }
}

const TOO_LONG =
  'The database has not answered in time: what was to be written may be stored nevertheless'
