import type { Env } from '../core/env.ts'
import { createBackoff, type Backoff } from './backoff.ts'
import {
  MAX_CHARS,
  recipientOf,
  sizeOf,
  stillAwaited,
  type Lines,
  type Sending,
} from './boarding.ts'

/** A commit, a trigger, or the messages to a run: it was in a transaction that failed. */
export interface Suspect {
  sending: Sending
  /** How long it rests each time it fails alone. */
  readonly rest: Backoff
  restUntil: number
}

/**
 * What failed goes apart from the rest: perhaps the database is away, perhaps it will never take one of them, and nobody
 * is to wait for that one. They go alone, and as long as that works, more and more of them together.
 */
export interface Suspects {
  add(parts: readonly Sending[]): void
  /** Those that go next; none as long as all rest. */
  board(): Suspect[]
  /** They are written, or refused for good. */
  passed(): void
  /** They failed after so many milliseconds; alone it is its own fault, until when it rests is its own matter. */
  failed(suspects: readonly Suspect[], tookMs: number): void
  /** Takes out of the lines what must not overtake one of them. */
  keepBehind(lines: Lines): void
  /** Tells commits that were sent for as long as a lease that it is lost. */
  dismissLate(): void
  /** When there is something to do for one of them; never if there is none. */
  nextAt(): number
}

const MOST_TOGETHER = 64
/** What fails slowly holds everyone up meanwhile: for a quarter of the time. */
const REST_FACTOR = 3
/** Who is not answered at all keeps nobody busy, and is worth asking again. */
const MOST_REST_MS = 15_000

interface State {
  readonly env: Env
  line: Suspect[]
  readonly backoff: Backoff
  /** All of them rest: the last attempt has failed. */
  restUntil: number
  /** Those rest that failed alone before. */
  failersRestUntil: number
  atOnce: number
}

export function createSuspects(env: Env): Suspects {
  const rests = { backoff: createBackoff(env), restUntil: 0, failersRestUntil: 0 }
  const state: State = { env, line: [], ...rests, atOnce: 1 }
  return {
    add(parts) {
      state.atOnce = 1
      for (const sending of parts) {
        state.line.push({ sending, rest: createBackoff(env), restUntil: 0 })
      }
    },
    board: () => board(state),
    passed() {
      state.backoff.reset()
      state.restUntil = 0
      state.atOnce = Math.min(state.atOnce * 2, MOST_TOGETHER)
    },
    failed: (suspects, tookMs) => failed(state, suspects, tookMs),
    keepBehind: (lines) => keepBehind(state, lines),
    dismissLate: () => dismissLate(state),
    nextAt: () =>
      state.line.reduce((first, suspect) => {
        return Math.min(first, restedAt(state, suspect), deadlineOf(suspect))
      }, Number.POSITIVE_INFINITY),
  }
}

function board(state: State): Suspect[] {
  const { env, atOnce } = state
  // Mostly there are none, and even a look at the clock costs something at each step.
  if (state.line.length === 0) return []
  const now = env.elapsed()
  if (state.restUntil > now) return []
  const boarded: Suspect[] = []
  const left: Suspect[] = []
  let chars = 0
  for (const suspect of state.line) {
    const { sources, enqueues, mail } = suspect.sending
    const asked = { enqueues: stillAwaited(enqueues), mail: stillAwaited(mail) }
    if (sources.length + asked.enqueues.length + asked.mail.length === 0) continue
    suspect.sending = { ...suspect.sending, ...asked }
    const isNext = boarded.length < atOnce && restedAt(state, suspect) <= now
    if (isNext) chars += sizeOf(suspect.sending)
    if (isNext && (boarded.length === 0 || chars <= MAX_CHARS)) boarded.push(suspect)
    else left.push(suspect)
  }
  state.line = left
  return boarded
}

function failed(state: State, suspects: readonly Suspect[], tookMs: number): void {
  const now = state.env.elapsed()
  const [first] = suspects
  const isAlone = suspects.length === 1
  state.atOnce = 1
  if (isAlone && first !== undefined) {
    const restMs = Math.max(first.rest.next(), REST_FACTOR * tookMs)
    first.restUntil = now + Math.min(restMs, MOST_REST_MS)
  }
  // Of one that fails again and again nothing follows for others that are not there.
  if (state.line.length > 0) state.restUntil = now + state.backoff.next()
  // However many of them there are: for half of it.
  state.failersRestUntil = now + tookMs
  state.line.push(...suspects)
}

function restedAt(state: State, { restUntil }: Suspect): number {
  return Math.max(state.restUntil, restUntil, restUntil === 0 ? 0 : state.failersRestUntil)
}

function dismissLate(state: State): void {
  if (state.line.length === 0) return
  const now = state.env.elapsed()
  const isLate = (suspect: Suspect): boolean => deadlineOf(suspect) <= now
  if (!state.line.some(isLate)) return
  const late = state.line.filter(isLate)
  state.line = state.line.filter((suspect) => !isLate(suspect))
  for (const { sending } of late) for (const { source } of sending.sources) source.answered('lost')
}

/** Callers have a patience of their own. */
function deadlineOf({ sending }: Suspect): number {
  return sending.sources[0]?.deadline ?? Number.POSITIVE_INFINITY
}

function keepBehind({ line }: State, lines: Lines): void {
  if (lines.mail.length === 0 || line.length === 0) return
  const ahead = new Map(
    line.flatMap((suspect) => {
      const [letter] = suspect.sending.mail
      return letter === undefined ? [] : [[recipientOf(letter), suspect] as const]
    }),
  )
  lines.mail = lines.mail.filter((letter) => {
    const suspect = ahead.get(recipientOf(letter))
    if (suspect === undefined) return true
    const { sending } = suspect
    suspect.sending = { ...sending, mail: [...sending.mail, letter] }
    return false
  })
}
