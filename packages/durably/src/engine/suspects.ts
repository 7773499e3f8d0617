import type { Env } from '../core/env.ts'
import { createBackoff, type Backoff } from './backoff.ts'
import { eachAlone, halves, nobody, part, type Sending } from './boarding.ts'

/**
 * What was in transactions that failed again: it travels apart from all others, in halves of halves, until who makes
 * them fail is alone. Who fails alone rests ever longer, and longer the more time it took from the others. If all fail
 * it is the database, and all of them rest.
 */
export interface Suspects {
  /** Each of these travels by itself, at once. */
  add(sendings: readonly Sending[]): void
  /** It failed again, or as the suspect that it was, after `tookMs`. */
  addFailed(sending: Sending, tookMs: number, before: Suspect | null): void
  /** Something was written: the database is there. */
  relieve(): void
  /** What is to be sent now, if there is anything. */
  take(): Suspect | null
  /** How much time is to have elapsed when there is something to take. */
  dueAt(): number
  /** Takes out all that is not worth sending any more. */
  dropLate(now: number): Sending[]
}

export interface Suspect {
  readonly sending: Sending
  readonly dueAt: number
  /** How long it rests when it fails alone. */
  readonly rest: Backoff
}

// Of the time of the writer, who fails alone takes no more than one part and as many.
const REST_PARTS = 4

export function createSuspects(env: Env): Suspects {
  let suspects: Suspect[] = []
  let restUntil = Number.NEGATIVE_INFINITY
  const backoff = createBackoff(env)

  function add(sendings: readonly Sending[]): void {
    const dueAt = env.elapsed()
    for (const sending of sendings) suspects.push({ sending, dueAt, rest: createBackoff(env) })
  }

  return {
    add,
    addFailed(sending, tookMs, before) {
      const parts = halves(sending)
      const now = env.elapsed()
      if (parts.length === 1) {
        const rest = before?.rest ?? createBackoff(env)
        const dueAt = now + rest.next() + tookMs * REST_PARTS
        suspects.push({ sending, dueAt: Math.min(dueAt, firstDeadline(sending)), rest })
      } else add(parts)
      if (parts.length > 0) restUntil = now + backoff.next()
    },
    relieve() {
      restUntil = Number.NEGATIVE_INFINITY
      backoff.reset()
    },
    take() {
      const now = env.elapsed()
      const next = restUntil > now ? -1 : suspects.findIndex(({ dueAt }) => dueAt <= now)
      return next === -1 ? null : (suspects.splice(next, 1)[0] ?? null)
    },
    dueAt() {
      const first = suspects.reduce((min, { dueAt }) => Math.min(min, dueAt), Infinity)
      return Math.max(first, restUntil)
    },
    dropLate(now) {
      const split = suspects.map((suspect) => part(suspect.sending, now))
      const left = suspects.map((suspect, i) => ({ ...suspect, sending: split[i]?.[1] ?? nobody }))
      suspects = left.filter(({ sending }) => eachAlone(sending).length > 0)
      return split.map(([late]) => late)
    },
  }
}

function firstDeadline({ sources, enqueues, mail }: Sending): number {
  return Math.min(...[...sources, ...enqueues, ...mail].map(({ deadline }) => deadline))
}
