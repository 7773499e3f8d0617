import type { Codec } from '../core/codec.ts'
import { createDictionary } from '../core/dictionary.ts'
import { ValidationError } from '../core/error.ts'
import {
  requireEventType,
  toEvent,
  type DurablyEvent,
  type EventHandler,
  type EventRun,
  type EventType,
} from '../core/event.ts'
import type { Entry } from '../core/journal.ts'
import { show } from '../core/show.ts'

/** Someone who follows one run. */
export interface Watcher {
  /** The run, as it is then, has changed in this way, or, where that is not known (null), may have changed. */
  onChange(event: EventType | null, run: EventRun | null): void
  /** Something that is not in the journal. */
  onTick?(tick: DurablyEvent): void
}

/** Someone who follows all runs. */
export interface Follower {
  /** A run changed here. */
  onEvent(event: DurablyEvent): void
  /** Another process may have changed this run; null: any run. */
  onChange(runId: string | null): void
  /** Nothing comes any more. */
  onClose(): void
}

/** What this process says it committed, and hints that others did. */
export interface Bus {
  on<E extends EventType>(type: E, handler: EventHandler<E>): () => void
  /** Sees what listeners throw. */
  onError(handler: (error: unknown) => void): () => void
  /** Announces an entry that was committed. */
  fact(entry: Entry, run: EventRun): void
  /** Announces what stands in no journal. */
  event(event: DurablyEvent): void
  /** The same of a run that executes here, made only if someone listens. */
  tick(type: EventType, runId: string, make: () => DurablyEvent): void
  /** Another process may have changed this run; null: any run. */
  changedElsewhere(runId: string | null): void
  /** The instance was closed: whoever watches finds that out when it reads. */
  close(): void
  watch(runId: string, watcher: Watcher): () => void
  follow(follower: Follower): () => void
}

type Handler = (event: never) => void | Promise<void>

export function createBus(codec: Codec): Bus {
  const { on, onError, deliver, hears, failed } = createListeners()
  // Each list is made anew when it changes: whoever is being told of something goes on with the one that was.
  const watchers = createDictionary<readonly Watcher[]>()
  const followers = new Set<Follower>()
  let isClosed = false

  function watching(runId: string): readonly Watcher[] {
    return watchers.get(runId) ?? nobody
  }

  function tell(happened: DurablyEvent): void {
    deliver(happened)
    if (!happened.type.startsWith('run:')) return
    for (const follower of present(followers)) follower.onEvent(happened)
  }

  function event(happened: DurablyEvent): void {
    tell(happened)
    if (happened.runId === null) return
    for (const watcher of watching(happened.runId)) {
      if (happened.type === 'run:delete') watcher.onChange(happened.type, null)
      else watcher.onTick?.(happened)
    }
  }

  function mayHaveChanged(runIds: Iterable<string>): void {
    for (const id of runIds) for (const watcher of watching(id)) watcher.onChange(null, null)
  }

  return {
    on,
    onError,
    fact(entry, run) {
      if (hears(entry.kind) || (followers.size > 0 && entry.kind.startsWith('run:'))) {
        try {
          tell(toEvent(entry, run, codec))
        } catch (error) {
          failed(error)
        }
      }
      for (const watcher of watching(run.id)) watcher.onChange(entry.kind, run)
    },
    event,
    tick(type, runId, make) {
      if (watching(runId).some(isToldOfTicks) || hears(type)) event(make())
    },
    changedElsewhere(runId) {
      mayHaveChanged(runId === null ? watchers.keys() : [runId])
      for (const follower of present(followers)) follower.onChange(runId)
    },
    close() {
      isClosed = true
      mayHaveChanged(watchers.keys())
      for (const follower of present(followers)) follower.onClose()
    },
    watch(runId, watcher) {
      watchers.set(runId, [...watching(runId), watcher])
      return () => {
        const left = watching(runId).filter((other) => other !== watcher)
        if (left.length > 0) watchers.set(runId, left)
        else watchers.delete(runId)
      }
    },
    follow(follower) {
      if (isClosed) follower.onClose()
      return addTo(followers, follower)
    },
  }
}

interface Listeners extends Pick<Bus, 'on' | 'onError'> {
  deliver(event: DurablyEvent): void
  hears(type: EventType): boolean
  failed(error: unknown): void
}

/** Who listens to a type of event, and who is told when that goes wrong. */
function createListeners(): Listeners {
  const handlers = new Map<EventType, Set<Handler>>()
  const errorHandlers = new Set<(error: unknown) => void>()

  function failed(error: unknown): void {
    for (const handler of present(errorHandlers)) {
      try {
        handler(error)
      } catch {
        // Whoever is told of errors has nobody to tell of their own.
      }
    }
  }

  return {
    // Wrapped, so that the same function added twice counts twice, and each is taken back on its own.
    on: (type, handler) => {
      requireEventType(type)
      requireHandler(handler)
      const own: Handler = (event) => (handler as Handler)(event)
      return addTo(setOf(handlers, type), own)
    },
    onError: (handler) => {
      requireHandler(handler)
      return addTo(errorHandlers, (error: unknown) => handler(error))
    },
    deliver(event) {
      for (const handler of present(handlers.get(event.type) ?? none)) {
        try {
          Promise.resolve(handler(event as never)).catch(failed)
        } catch (error) {
          failed(error)
        }
      }
    },
    hears: (type) => (handlers.get(type)?.size ?? 0) > 0,
    failed,
  }
}

const nobody: readonly Watcher[] = []
const none: ReadonlySet<never> = new Set()

/** Those who are there now and still are when their turn comes: who is added meanwhile hears of what comes next. */
function* present<T>(set: ReadonlySet<T>): Iterable<T> {
  const now = [...set]
  for (const one of now) if (set.has(one)) yield one
}

function isToldOfTicks({ onTick }: Watcher): boolean {
  return onTick !== undefined
}

function requireHandler(handler: unknown): void {
  if (typeof handler === 'function') return
  throw new ValidationError(`handler must be a function; got ${show(handler)}`)
}

function setOf<K, V>(map: Map<K, Set<V>>, key: K): Set<V> {
  const set = map.get(key) ?? new Set()
  map.set(key, set)
  return set
}

function addTo<T>(set: Set<T>, value: T): () => void {
  set.add(value)
  return () => void set.delete(value)
}
