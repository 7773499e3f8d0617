import { awaits } from '../core/awaits.ts'
import { pause, type Env } from '../core/env.ts'
import { toIso, type RunRecord, type Wait } from '../core/run.ts'
import type { Message, Store } from '../store/store.ts'
import { createBackoff } from './backoff.ts'

/** One of the things that can end a wait: a message, and the time, where there is one. */
export interface Source extends Pick<Wait, 'kind' | 'name'> {
  /** In milliseconds since the epoch. */
  readonly until: number | null
  /** Of a run: how far the mailbox had come when it was asked for. What was told of it before is of an earlier end. */
  readonly since?: number
}

/** A wait of the job's code. */
export interface OpenWait {
  /** Of its step. */
  readonly name: string
  readonly index: number
  readonly sources: readonly Source[]
  /**
   * Called once: which of the sources ended it, by its message, or null when its time came. It is `first` of those that
   * the message ends, which is to take it out of the mailbox.
   */
  readonly end: (source: number, message: Message | null, first: boolean) => void
}

/**
 * What a run waits for, and what it was sent and has not used. Messages go to the wait that opened first; the end of
 * another run is for all that wait for it.
 */
export interface Waits {
  open(wait: OpenWait): void
  /** A wait for these runs has begun, and will be opened, or given up, when the returned function is called. */
  begin(runIds: readonly string[]): () => void
  /** The mailbox has come so far. */
  mail(inbox: number): void
  /** These runs have ended: there is a message for those that wait for one. */
  told(runIds: ReadonlySet<string>): void
  /** There may be more in the mailbox than is known. */
  check(): void
  /** No wait ends until `thaw`: what comes meanwhile stays in the mailbox. */
  freeze(): void
  thaw(): void
  /** Whether the run waits for something, and for nothing that has come. */
  isWaiting(): boolean
  /** What for, in plain data. */
  list(): Wait[]
  /** When the first of the waits ends by itself, or null. */
  nextTime(): number | null
  /** How far the mailbox was read. */
  inbox(): number
  /** No wait ends any more. Returns those that were open. */
  close(): readonly OpenWait[]
}

export interface WaitsOptions {
  readonly run: Pick<RunRecord, 'id' | 'inbox'>
  readonly store: Pick<Store, 'mailbox'>
  readonly env: Env
  /** Those that could be ended are. */
  readonly onSettled: () => void
  readonly onError: (error: unknown) => void
}

interface State extends WaitsOptions {
  readonly opened: Set<OpenWait>
  messages: readonly Message[]
  /** Messages that ended a wait here and may stand in the mailbox still. */
  readonly taken: Set<number>
  /** For how many waits that have begun and are not open each run is asked for. */
  readonly begun: Map<string, number>
  /** The last end that a wait took of each run that others may wait for. */
  readonly ends: Map<string, Message>
  seen: number
  /** The mailbox is to be read before anything else is decided. */
  stale: boolean
  reading: boolean
  frozen: boolean
  closed: boolean
  /** One for all, at the first of their times. */
  timer: { readonly at: number; readonly cancel: () => void } | null
}

export function createWaits(options: WaitsOptions): Waits {
  const waits: State = {
    ...options,
    opened: new Set(),
    messages: [],
    taken: new Set(),
    begun: new Map(),
    ends: new Map(),
    seen: 0,
    stale: options.run.inbox > 0,
    reading: false,
    frozen: false,
    closed: false,
    timer: null,
  }
  const { opened } = waits
  return {
    open(wait) {
      if (waits.closed) return
      opened.add(wait)
      proceed(waits, [wait])
    },
    begin: (runIds) => begin(waits, runIds),
    mail(inbox) {
      if (inbox > waits.seen) check(waits)
    },
    told(runIds) {
      if ([...opened].some((wait) => isFor(wait, runIds))) check(waits)
    },
    check: () => check(waits),
    freeze() {
      waits.frozen = true
      cancelTimer(waits)
    },
    thaw() {
      waits.frozen = false
      proceed(waits)
    },
    isWaiting: () => opened.size > 0 && !waits.stale && !waits.reading,
    list: () => [...opened].flatMap(({ sources }) => sources.map(toWait)),
    nextTime: () => earliest(opened),
    inbox: () => waits.seen,
    close() {
      const left = [...opened]
      opened.clear()
      waits.closed = true
      cancelTimer(waits)
      return left
    },
  }
}

/** What a source is to everyone. */
export function toWait({ kind, name, until }: Source): Wait {
  return { kind, name, until: until === null ? null : toIso(until) }
}

function isFor({ sources }: OpenWait, runIds: ReadonlySet<string>): boolean {
  return sources.some(({ kind, name }) => kind === 'run' && runIds.has(name))
}

/** What one of them takes, another one may be asking for at this moment. */
function begin({ begun }: State, runIds: readonly string[]): () => void {
  const count = (runId: string, more: number): void => {
    const left = (begun.get(runId) ?? 0) + more
    if (left > 0) begun.set(runId, left)
    else begun.delete(runId)
  }
  for (const runId of runIds) count(runId, 1)
  return () => {
    for (const runId of runIds) count(runId, -1)
  }
}

function check(waits: State): void {
  waits.stale = true
  proceed(waits)
}

/** Ends those of `some` that can be ended; what was sent before a time came is seen before it. */
function proceed(waits: State, some: Iterable<OpenWait> = waits.opened): void {
  const { opened, closed, frozen, stale, reading } = waits
  if (opened.size === 0 || closed || frozen || reading) return
  if (stale) return void read(waits)
  if (some === opened) cancelTimer(waits)
  for (const wait of some) {
    const end = endOf(waits, wait)
    if (end === null) {
      schedule(waits, wait)
      continue
    }
    opened.delete(wait)
    const { source, message } = end
    const first = message !== null && !waits.taken.has(message.seq)
    if (first) take(waits, message)
    wait.end(source, message, first)
  }
  // All that are open have heard of them.
  for (const runId of waits.ends.keys()) if (!waits.begun.has(runId)) waits.ends.delete(runId)
  waits.onSettled()
}

/** A database that does not answer is asked until it does. */
async function read(waits: State): Promise<void> {
  const { store, env, run, taken, onError } = waits
  const backoff = createBackoff(env)
  waits.reading = true
  while (waits.stale && !waits.closed) {
    waits.stale = false
    try {
      const { inbox, messages } = await store.mailbox(run.id)
      waits.seen = inbox
      waits.messages = messages.filter(({ seq }) => !taken.has(seq))
    } catch (error) {
      waits.stale = true
      onError(error)
      await pause(env, backoff.next())
    }
  }
  waits.reading = false
  proceed(waits)
}

function endOf({ messages, ends, env }: State, { sources }: OpenWait) {
  for (const known of [messages, ends.values()]) {
    for (const message of known) {
      const source = sources.findIndex((one) => isEndedBy(one, message))
      if (source !== -1) return { source, message }
    }
  }
  const now = env.now()
  const due = sources.filter(({ until }) => until !== null && until <= now)
  const [first] = due.toSorted((a, b) => (a.until ?? 0) - (b.until ?? 0))
  return first === undefined ? null : { source: sources.indexOf(first), message: null }
}

function isEndedBy(source: Source, message: Message): boolean {
  return awaits([source], message) && message.seq > (source.since ?? 0)
}

function take(waits: State, taken: Message): void {
  const { seq, kind, name } = taken
  waits.taken.add(seq)
  if (kind === 'run') waits.ends.set(name, taken)
  waits.messages = waits.messages.filter((message) => message.seq !== seq)
}

function schedule(waits: State, wait: OpenWait): void {
  const { env, timer } = waits
  const at = earliest([wait])
  if (at === null || (timer !== null && timer.at <= at)) return
  timer?.cancel()
  const cancel = env.after(Math.max(0, at - env.now()), () => {
    waits.timer = null
    proceed(waits)
  })
  waits.timer = { at, cancel }
}

function cancelTimer(waits: State): void {
  waits.timer?.cancel()
  waits.timer = null
}

function earliest(some: Iterable<OpenWait>): number | null {
  let first: number | null = null
  for (const { sources } of some) {
    for (const { until } of sources) {
      if (until !== null && (first === null || until < first)) first = until
    }
  }
  return first
}
