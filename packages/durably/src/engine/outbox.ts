import type { Env } from '../core/env.ts'
import { logData, type EntryKind } from '../core/journal.ts'
import type { Progress, RunRecord } from '../core/run.ts'
import type { Answer, Commit, NewToken, Transition } from '../store/store.ts'
import type { CommitSource } from './boarding.ts'
import type { Writer } from './writer.ts'

/** A line for the journal, and what to do once it stands there. */
interface Item {
  readonly kind: EntryKind
  readonly name: string | null
  readonly at: number
  readonly data: string
  readonly transition?: Transition
  /** The message that it consumes, by its position in the mailbox. */
  readonly consumes?: number | undefined
  /** The token that it hands out. */
  readonly token?: NewToken
  readonly onCommitted?: () => void
  /** The database will never take it. */
  readonly onRejected?: (error: Error) => void
}

/**
 * What one execution has to write, in order. All that came up while a commit was under way goes into the next
 * one; positions in the journal are given out when it leaves.
 */
export interface Outbox {
  /** What nobody waits for rides along with what comes next, or goes alone after a moment. */
  add(item: Item): void
  /** Somebody waits for what was added: it leaves at once, in order. */
  flush(): void
  /** The last item of all; what comes after it is dropped in silence. */
  finish(item: Item & { readonly transition: Transition }): void
  /** Gives the run up until something wakes it. Answers whether it did: not if it was sent something meanwhile. */
  park(park: Park): void
  /** The run is held again: what was kept while it was parked leaves now. */
  reopen(run: RunRecord, lastSeq: number): void
  /** Nothing is under way, and nothing would be but what can ride along. */
  isQuiet(): boolean
  /** Lines beyond a bound are only counted. */
  log(stepName: string | null, data: string): void
  /** The last value rides along with what comes next, or goes alone after a while. False: it comes after the end. */
  progress(progress: Progress): boolean
  /** Resolves once it stands in the run that this step is about to execute. */
  note(stepName: string): Promise<void>
  /** Writes nothing any more; what is under way is not taken back. */
  close(): void
  /** The position of the last entry that was committed. */
  lastSeq(): number
}

/** The entry that parks a run, and what to do with the answer. */
interface Park {
  readonly item: Item
  readonly onAnswer: (isParked: boolean) => void
  readonly onRejected: (error: Error) => void
}

export interface OutboxOptions {
  readonly run: RunRecord
  readonly lastSeq: number
  readonly writer: Writer
  readonly env: Env
  /** The lease is gone; nothing more can be written. */
  readonly onLost: (answer: 'cancelled' | 'lost') => void
  /** All that was to leave at once has left. */
  readonly onQuiet: () => void
}

interface Sent {
  readonly commit: Commit
  readonly items: readonly Item[]
  readonly park: Park | null
  readonly onNoted: () => void
}

interface State extends OutboxOptions {
  run: RunRecord
  lastSeq: number
  waiting: Item[]
  logLines: number
  droppedLines: number
  progress: Progress | null
  noted: { readonly name: string; readonly resolve: () => void }[]
  /** The commit under way: sent again as it is until it is answered. */
  sent: Sent | null
  inLine: boolean
  /** Somebody waits for all that is waiting, also for what could ride along. */
  hurried: boolean
  /** To leave with all that is waiting. */
  park: Park | null
  isParked: boolean
  /** The last item is in. */
  sealed: boolean
  closed: boolean
  /** After a refusal, so many items leave one by one: only the offender is refused. */
  alone: number
  cancelDelay: (() => void) | null
  readonly source: CommitSource
}

const RIDE_DELAY_MS = 50
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
    noted: [],
    sent: null,
    inLine: false,
    hurried: false,
    park: null,
    isParked: false,
    sealed: false,
    closed: false,
    alone: 0,
    cancelDelay: null,
    source: {
      run: () => box.run,
      take: () => take(box),
      answered: (answer) => answered(box, answer),
      rejected: (error) => rejected(box, error),
    },
  }
  return {
    add: (item) => add(box, item),
    flush() {
      if (box.waiting.length === 0) return
      box.hurried = true
      send(box)
    },
    finish(item) {
      add(box, item)
      box.sealed = true
      // One that has not left yet: a run that ends does not wait.
      box.park = null
    },
    park(park) {
      box.park = park
      send(box)
    },
    reopen(run, lastSeq) {
      Object.assign(box, { run, lastSeq, isParked: false })
      sendRest(box)
    },
    isQuiet: () => !box.inLine && !box.sealed && box.waiting.every(canRide),
    log: (stepName, data) => log(box, stepName, data),
    progress(progress) {
      if (box.closed || box.sealed) return false
      box.progress = progress
      sendWithin(box, PROGRESS_DELAY_MS)
      return true
    },
    note: (name) =>
      new Promise((resolve) => {
        box.noted.push({ name, resolve })
        send(box)
      }),
    close: () => close(box),
    lastSeq: () => box.lastSeq,
  }
}

function add(box: State, item: Item): void {
  if (box.closed || box.sealed) return
  box.waiting.push(item)
  if (canRide(item)) sendWithin(box, RIDE_DELAY_MS)
  else send(box)
}

function log(box: State, name: string | null, data: string): void {
  if (box.closed || box.sealed) return
  if (box.logLines >= MAX_LOG_LINES) {
    box.droppedLines++
    return
  }
  box.logLines++
  add(box, { kind: 'log:write', name, at: box.env.now(), data })
}

function close(box: State): void {
  box.closed = true
  box.waiting = []
  box.cancelDelay?.()
}

function send(box: State): void {
  if (box.inLine || box.closed || box.isParked) return
  box.inLine = true
  box.cancelDelay?.()
  box.cancelDelay = null
  box.writer.commit(box.source)
}

function sendWithin(box: State, ms: number): void {
  if (box.inLine || box.closed || box.isParked || box.cancelDelay !== null) return
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
  const { run, lastSeq, noted } = box
  const items = box.waiting.splice(0, howMany(box))
  if (box.waiting.length === 0) box.hurried = false
  if (box.logLines > 0) box.logLines -= items.filter(isLog).length
  if (box.droppedLines > 0) items.unshift(droppedLines(box))
  // All that came before is to be stored when the run is given up.
  const park = box.waiting.length === 0 ? box.park : null
  const all = park === null ? items : [...items, park.item]
  const entries = all.map(({ kind, name, at, data }, i) => {
    return { seq: lastSeq + 1 + i, kind, name, at, data }
  })
  const commit: Commit = {
    lease: { runId: run.id, generation: run.generation },
    concurrencyKey: run.concurrencyKey,
    entries,
    ...besides(box, all),
  }
  box.droppedLines = 0
  box.progress = null
  box.noted = []
  const onNoted = (): void => noted.forEach(({ resolve }) => resolve())
  return { commit, items, park, onNoted }
}

/** What is to be written besides the entries; of most commits that is nothing. */
function besides({ progress, noted }: State, items: readonly Item[]): Partial<Commit> | null {
  const transition = items.at(-1)?.transition
  const mail = mailOf(items)
  const executing = noted.at(-1)?.name
  if (progress === null && executing === undefined && transition === undefined && mail === null)
    return null
  return {
    ...(progress === null ? {} : { progress }),
    ...(executing === undefined ? {} : { executing }),
    ...(transition === undefined ? {} : { transition }),
    ...mail,
  }
}

/** What the items take out of the mailbox, and the tokens they hand out. */
function mailOf(items: readonly Item[]): Pick<Commit, 'consumes' | 'tokens'> | null {
  if (!items.some(({ consumes, token }) => consumes !== undefined || token !== undefined))
    return null
  return {
    consumes: items.flatMap(({ consumes }) => consumes ?? []),
    tokens: items.flatMap(({ token }) => token ?? []),
  }
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
  if (answer === 'moved') return moved(box, sent)
  if (answer !== 'committed') {
    close(box)
    return box.onLost(answer)
  }
  if (sent === null) return
  box.lastSeq += sent.commit.entries.length
  if (sent.park !== null) parked(box, sent.park)
  sent.onNoted()
  for (const item of sent.items) item.onCommitted?.()
  sendRest(box)
}

function parked(box: State, park: Park): void {
  box.park = null
  box.isParked = true
  if (!box.closed) park.onAnswer(true)
}

/** Nothing was written: all but the park is still to be. */
function moved(box: State, sent: Sent | null): void {
  box.park = null
  if (box.closed) return
  takeBack(box, sent?.items ?? [])
  box.progress ??= sent?.commit.progress ?? null
  sent?.onNoted()
  sent?.park?.onAnswer(false)
  sendRest(box)
}

function takeBack(box: State, items: readonly Item[]): void {
  box.waiting.unshift(...items)
  box.logLines += items.filter(isLog).length
}

function rejected(box: State, error: Error): void {
  const { sent } = box
  const { items, park, onNoted } = sent ?? { items: [], park: null, onNoted: null }
  // What the database refused was one of the items, if there were any.
  if (items.length > 0 || park !== null) box.progress ??= sent?.commit.progress ?? null
  box.sent = null
  box.inLine = false
  box.park = null
  onNoted?.()
  if (items.length > 1 || (items.length > 0 && park !== null)) {
    takeBack(box, items)
    box.alone = items.length
    // They were on their way, perhaps because somebody waits for them.
    box.hurried = true
    // Asked for again once they are stored, or refused.
    park?.onAnswer(false)
  } else {
    box.alone = Math.max(0, box.alone - 1)
    // A refused end can be followed by another one.
    box.sealed = false
    items[0]?.onRejected?.(error)
    park?.onRejected(error)
  }
  sendRest(box)
}

function sendRest(box: State): void {
  const { noted, park, hurried, waiting } = box
  if (noted.length > 0 || park !== null || hurried || !waiting.every(canRide)) return send(box)
  if (box.waiting.length > 0) sendWithin(box, RIDE_DELAY_MS)
  else if (box.progress !== null) sendWithin(box, PROGRESS_DELAY_MS)
  box.onQuiet()
}

/** Nobody waits for it to be stored. */
function canRide({ kind }: Item): boolean {
  return kind === 'log:write' || kind === 'step:chunk' || kind === 'step:wait'
}

function isLog(item: Item): boolean {
  return item.kind === 'log:write'
}

function droppedLines({ env, droppedLines }: State): Item {
  const text = `${droppedLines} log lines were dropped: they came faster than they could be stored`
  return { kind: 'log:write', name: null, at: env.now(), data: logData('warn', text, null) }
}
