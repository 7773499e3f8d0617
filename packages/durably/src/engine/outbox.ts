import type { Env } from '../core/env.ts'
import { logData, type EntryKind } from '../core/journal.ts'
import type { Progress, RunRecord } from '../core/run.ts'
import type { Answer, Commit, Transition } from '../store/store.ts'
import type { CommitSource, Writer } from './writer.ts'

/** A line for the journal, and what to do once it stands there. */
interface Item {
  readonly kind: EntryKind
  readonly name: string | null
  readonly at: number
  readonly data: string
  readonly transition?: Transition
  readonly onCommitted?: () => void
  /** The database will never take it. */
  readonly onRejected?: (error: Error) => void
}

/**
 * What one execution has to write, in order. All that came up while a commit was under way goes into the next
 * one; positions in the journal are given out when it leaves.
 */
export interface Outbox {
  add(item: Item): void
  /** The last item of all; what comes after it is dropped in silence. */
  finish(item: Item & { readonly transition: Transition }): void
  /** Rides along with what comes next, or goes alone after a moment. Lines beyond a bound are only counted. */
  log(stepName: string | null, data: string): void
  /** The last value rides along with what comes next, or goes alone after a while. */
  progress(progress: Progress): void
  /** Resolves once it stands in the run that this step is about to execute. */
  note(stepName: string): Promise<void>
  /** Writes nothing any more; what is under way is not taken back. */
  close(): void
  /** The position of the last entry that was committed. */
  lastSeq(): number
}

export interface OutboxOptions {
  readonly run: RunRecord
  readonly lastSeq: number
  readonly writer: Writer
  readonly env: Env
  /** The lease is gone; nothing more can be written. */
  readonly onLost: (answer: 'cancelled' | 'lost') => void
}

interface Sent {
  readonly commit: Commit
  readonly items: readonly Item[]
  readonly onNoted: (() => void) | null
}

interface State extends OutboxOptions {
  lastSeq: number
  waiting: Item[]
  logLines: number
  droppedLines: number
  progress: Progress | null
  noted: { readonly name: string; readonly resolve: () => void } | null
  /** The commit under way: sent again as it is until it is answered. */
  sent: Sent | null
  inLine: boolean
  /** The last item is in. */
  sealed: boolean
  closed: boolean
  /** After a refusal, so many items leave one by one: only the offender is refused. */
  alone: number
  cancelDelay: (() => void) | null
  readonly source: CommitSource
}

const LOG_DELAY_MS = 50
const PROGRESS_DELAY_MS = 100
const MAX_LOG_LINES = 10_000
const MAX_ENTRIES = 1000
const MAX_CHARS = 1_000_000

export function createOutbox(options: OutboxOptions): Outbox {
  const box: State = {
    ...options,
    waiting: [],
    logLines: 0,
    droppedLines: 0,
    progress: null,
    noted: null,
    sent: null,
    inLine: false,
    sealed: false,
    closed: false,
    alone: 0,
    cancelDelay: null,
    source: {
      run: options.run,
      take: () => take(box),
      answered: (answer) => answered(box, answer),
      rejected: (error) => rejected(box, error),
    },
  }
  return {
    add: (item) => add(box, item),
    finish(item) {
      add(box, item)
      box.sealed = true
    },
    log: (stepName, data) => log(box, stepName, data),
    progress(progress) {
      box.progress = progress
      sendWithin(box, PROGRESS_DELAY_MS)
    },
    note: (name) =>
      new Promise((resolve) => {
        box.noted = { name, resolve }
        send(box)
      }),
    close: () => close(box),
    lastSeq: () => box.lastSeq,
  }
}

function add(box: State, item: Item): void {
  if (box.closed || box.sealed) return
  box.waiting.push(item)
  send(box)
}

function log(box: State, name: string | null, data: string): void {
  if (box.closed || box.sealed) return
  if (box.logLines >= MAX_LOG_LINES) {
    box.droppedLines++
    return
  }
  box.logLines++
  box.waiting.push({ kind: 'log:write', name, at: box.env.now(), data })
  sendWithin(box, LOG_DELAY_MS)
}

function close(box: State): void {
  box.closed = true
  box.waiting = []
  box.cancelDelay?.()
}

function send(box: State): void {
  if (box.inLine || box.closed) return
  box.inLine = true
  box.cancelDelay?.()
  box.cancelDelay = null
  box.writer.commit(box.source)
}

function sendWithin(box: State, ms: number): void {
  if (box.inLine || box.closed || box.cancelDelay !== null) return
  box.cancelDelay = box.env.after(ms, () => {
    box.cancelDelay = null
    send(box)
  })
}

function take(box: State): Commit {
  box.sent ??= compose(box)
  return box.sent.commit
}

function compose(box: State): Sent {
  const { run, lastSeq, progress, noted } = box
  const items = box.waiting.splice(0, howMany(box))
  box.logLines -= items.filter(isLog).length
  if (box.droppedLines > 0) items.unshift(droppedLines(box))
  const entries = items.map(({ kind, name, at, data }, i) => {
    return { seq: lastSeq + 1 + i, kind, name, at, data }
  })
  const transition = items.at(-1)?.transition
  const commit: Commit = {
    lease: { runId: run.id, generation: run.generation },
    concurrencyKey: run.concurrencyKey,
    entries,
    ...(progress === null ? {} : { progress }),
    ...(noted === null ? {} : { executing: noted.name }),
    ...(transition === undefined ? {} : { transition }),
  }
  box.droppedLines = 0
  box.progress = null
  box.noted = null
  return { commit, items, onNoted: noted?.resolve ?? null }
}

/** As many as make a commit of bounded size, but at least one. */
function howMany({ waiting, alone }: State): number {
  if (alone > 0) return Math.min(1, waiting.length)
  let chars = 0
  const tooMany = waiting.findIndex((item, i) => {
    chars += item.data.length
    return i > 0 && (i >= MAX_ENTRIES || chars > MAX_CHARS)
  })
  return tooMany === -1 ? waiting.length : tooMany
}

function answered(box: State, answer: Answer): void {
  const { sent } = box
  box.sent = null
  box.inLine = false
  box.alone = Math.max(0, box.alone - 1)
  if (answer !== 'committed') {
    close(box)
    // Nothing parks yet.
    return box.onLost(answer === 'moved' ? 'lost' : answer)
  }
  if (sent === null) return
  box.lastSeq += sent.commit.entries.length
  sent.onNoted?.()
  for (const item of sent.items) item.onCommitted?.()
  sendRest(box)
}

function rejected(box: State, error: Error): void {
  const { items, onNoted } = box.sent ?? { items: [], onNoted: null }
  box.sent = null
  box.inLine = false
  onNoted?.()
  if (items.length > 1) {
    box.waiting.unshift(...items)
    box.alone = items.length
  } else {
    box.alone = Math.max(0, box.alone - 1)
    // A refused end can be followed by another one.
    box.sealed = false
    items[0]?.onRejected?.(error)
  }
  sendRest(box)
}

function sendRest(box: State): void {
  if (box.noted !== null || !box.waiting.every(isLog)) send(box)
  else if (box.waiting.length > 0) sendWithin(box, LOG_DELAY_MS)
  else if (box.progress !== null) sendWithin(box, PROGRESS_DELAY_MS)
}

function isLog(item: Item): boolean {
  return item.kind === 'log:write'
}

function droppedLines({ env, droppedLines }: State): Item {
  const text = `${droppedLines} log lines were dropped: they came faster than they could be stored`
  return { kind: 'log:write', name: null, at: env.now(), data: logData('warn', text, null) }
}
