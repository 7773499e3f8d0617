import type { Random } from './random.ts'

/** Whoever events belong to: a process that can freeze or die. */
export interface Owner {
  readonly name: string
  alive: boolean
  frozenUntil: number
}

/** Virtual time, and all that is to happen in it, in an order that the seed decides. */
export interface Timeline {
  now(): number
  /** Calls `fn` after `ms`, unless its owner is dead by then; the returned function takes the call back. */
  after(owner: Owner, ms: number, fn: () => void): () => void
  /** Lets events happen until `isOver` says so or `limit` (a time) is reached. Whether it was over. */
  run(isOver: () => boolean, limit: number): Promise<boolean>
}

interface Event {
  readonly owner: Owner
  readonly fn: () => void
  at: number
  /** Events of one moment happen in an order of chance. */
  readonly order: number
}

// What happens in no time at all can go on for ever.
const MAX_EVENTS = 200_000

export function createTimeline(start: number, random: Random): Timeline {
  let now = start
  const events = new Set<Event>()
  const quiet = createQuiet()

  function next(): Event | null {
    let first: Event | null = null
    for (const event of events) {
      if (
        first === null ||
        event.at < first.at ||
        (event.at === first.at && event.order < first.order)
      ) {
        first = event
      }
    }
    return first
  }

  /** The event happens, and all that follows from it without time, store or wake-ups. */
  async function happen(event: Event): Promise<void> {
    events.delete(event)
    now = Math.max(now, event.at)
    if (!event.owner.alive) return
    if (event.owner.frozenUntil > now) {
      event.at = event.owner.frozenUntil
      events.add(event)
      return
    }
    event.fn()
    await quiet()
  }

  return {
    now: () => now,
    after(owner, ms, fn) {
      const event: Event = { owner, fn, at: now + ms, order: random.next() }
      events.add(event)
      return () => events.delete(event)
    },
    async run(isOver, limit) {
      for (let count = 0; !isOver(); count++) {
        if (count > MAX_EVENTS) throw new Error(`something goes on for ever at ${now}`)
        const event = next()
        if (event === null || event.at > limit) return isOver()
        await happen(event)
      }
      return true
    },
  }
}

// A turn of the event loop costs more than all else that an event does.
const IMMEDIATES_PER_TURN = 64

/** Each call resolves when all reactions are through: Node sees to them between any two immediates of a turn. */
function createQuiet(): () => Promise<void> {
  let left = 0
  let resolve = (): void => {}
  const pass = (): void => {
    left--
    resolve()
  }
  return () =>
    new Promise((resolveThis) => {
      resolve = resolveThis
      if (left > 0) return
      left = IMMEDIATES_PER_TURN
      for (let i = 0; i < IMMEDIATES_PER_TURN; i++) setImmediate(pass)
    })
}
