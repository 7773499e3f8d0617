import type { Env } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { DurablyEvent, EventType } from '../core/event.ts'
import type { Entry } from '../core/journal.ts'
import { toIso, type Labels, type Progress, type RunRecord } from '../core/run.ts'
import { isEnding, isTerminal } from '../core/transitions.ts'
import type { Watcher } from './bus.ts'
import type { JournalPage } from './journal-reads.ts'

export interface SubscriptionOptions {
  readonly runId: string
  /** The position after which to begin; 0 is the beginning. */
  readonly after: number
  /** The next page after a position; null when there is no such run. */
  readonly read: (after: number, limit: number) => Promise<JournalPage | null>
  readonly watch: (watcher: Watcher) => () => void
  readonly env: Env
  /** How often to read when no sign of a change comes. */
  readonly pollMs: number
  /** There was no answer; it is read again, unless this throws: then the stream ends with that. */
  readonly onError: (error: unknown) => void
}

interface State extends SubscriptionOptions {
  position: number
  /** How many entries it reads at once. */
  pageSize: number
  readonly ticks: DurablyEvent[]
  /** The last progress that was not told yet. */
  held: DurablyEvent<'run:progress'> | null
  progressAt: number
  changed: boolean
  wake: (() => void) | null
  unwatch: () => void
  /** The run executes in this process: its ticks come from there, and are ahead of the database. */
  local: boolean
  /** The fact before the tick that came last. */
  tickedAt: number
  /** What was told last. */
  progress: string
  about: { readonly jobName: string; readonly labels: Labels } | null
  cancelled: boolean
}

const FIRST_PAGE_SIZE = 8
const MAX_PAGE_SIZE = 512
/** So much of a journal may wait for one reader: there may be thousands of them, and of any size may be each entry. */
const PAGE_CHARACTERS = 1024 * 1024
const MAX_TICKS = 1000
/** A loop may say how far it is ten thousand times a second; people see this. */
const PROGRESS_GAP_MS = 100

/** All facts of a run after a position, then what follows, in order and without gaps: the journal, read on. */
export function createSubscription(options: SubscriptionOptions): ReadableStream<DurablyEvent> {
  const sub: State = {
    ...options,
    position: options.after,
    pageSize: FIRST_PAGE_SIZE,
    ticks: [],
    held: null,
    progressAt: Number.NEGATIVE_INFINITY,
    changed: true,
    wake: null,
    unwatch: () => {},
    local: false,
    tickedAt: 0,
    progress: 'null',
    about: null,
    cancelled: false,
  }
  return new ReadableStream<DurablyEvent>({
    start() {
      sub.unwatch = sub.watch({ onChange: () => change(sub), onTick: (tick) => onTick(sub, tick) })
    },
    pull: (controller) => pull(sub, controller),
    cancel() {
      sub.cancelled = true
      sub.unwatch()
      sub.wake?.()
    },
  })
}

/** Called when the reader wants more: resolves when it got some. */
async function pull(
  sub: State,
  controller: ReadableStreamDefaultController<DurablyEvent>,
): Promise<void> {
  while (!sub.cancelled) {
    await untilChanged(sub)
    sub.changed = false
    const { pageSize } = sub
    let page: Awaited<ReturnType<State['read']>>
    try {
      page = await sub.read(sub.position, pageSize)
    } catch (error) {
      endingOnThrow(sub, () => sub.onError(error))
      await rest(sub)
      continue
    }
    if (sub.cancelled) return
    const events = page === null ? deleted(sub) : readPage(sub, page)
    if (page?.entries.length === pageSize) sub.changed = true
    sub.pageSize = nextPageSize(pageSize, page?.entries ?? [])
    for (const event of events) controller.enqueue(event)
    if (page === null || (!sub.changed && isOver(page))) return close(sub, controller)
    if (events.length > 0) return
  }
}

/**
 * As many entries as fit, if they are like those of the page before; more only by and by, for they may not be. A power
 * of two: those who follow a run share what they read if they ask for the same.
 */
function nextPageSize(size: number, entries: readonly Entry[]): number {
  if (entries.length === 0) return size
  const characters = entries.reduce((sum, { data }) => sum + data.length, 0)
  const fitting = (PAGE_CHARACTERS * entries.length) / Math.max(1, characters)
  const grown = entries.length === size ? size * 4 : size
  return 2 ** Math.floor(Math.log2(Math.max(1, Math.min(grown, fitting, MAX_PAGE_SIZE))))
}

/** An entry that cannot be read ends the stream with an error that names it: whoever goes on would miss it. */
function readPage(sub: State, page: JournalPage): DurablyEvent[] {
  return endingOnThrow(sub, () => eventsOf(sub, page))
}

function endingOnThrow<T>(sub: State, work: () => T): T {
  try {
    return work()
  } catch (error) {
    sub.unwatch()
    throw error
  }
}

async function untilChanged(sub: State): Promise<void> {
  while (!sub.cancelled && !sub.changed && sub.ticks.length === 0) {
    const progressIn = sub.held === null ? null : progressDueIn(sub)
    if (progressIn !== null && progressIn <= 0) return
    if ((await nap(sub, progressIn ?? sub.pollMs)) === 'over' && progressIn === null) return
  }
}

/** Whatever there is to tell waits until the database answers again. */
async function rest(sub: State): Promise<void> {
  const { env, pollMs } = sub
  const until = env.elapsed() + pollMs
  for (let left = pollMs; left > 0 && !sub.cancelled; left = until - env.elapsed()) {
    await nap(sub, left)
  }
  sub.progressAt = env.elapsed()
  sub.changed = true
}

function nap(sub: State, ms: number): Promise<'over' | 'woken'> {
  return new Promise((resolve) => {
    const end = (how: 'over' | 'woken'): void => {
      cancel()
      sub.wake = null
      resolve(how)
    }
    const cancel = sub.env.after(ms, () => end('over'))
    sub.wake = () => end('woken')
  })
}

function progressDueIn({ progressAt, env }: State): number {
  return progressAt + PROGRESS_GAP_MS - env.elapsed()
}

/** The facts of a page, and between them the ticks that came after the fact before. */
function eventsOf(sub: State, { run, entries, eventAt }: JournalPage): DurablyEvent[] {
  sub.about = run
  const ended = isTerminal(run.status)
  const events: DurablyEvent[] = []
  for (const [i, entry] of entries.entries()) {
    events.push(...ticksBefore(sub, entry.seq))
    if (isHandedOver(sub, entry)) {
      events.push(...heldProgress(sub))
      sub.local = false
    }
    // A terminal fact stays the last word, and who has heard it has heard all.
    if (isEnding(entry.kind)) {
      events.push(...heldProgress(sub))
      if (ended && i === entries.length - 1) events.push(...progressOf(sub, run))
    }
    events.push(eventAt(i))
    sub.position = entry.seq
  }
  if (entries.length < sub.pageSize) events.push(...ticksBefore(sub, sub.position + 1))
  if (progressDueIn(sub) <= 0) events.push(...heldProgress(sub))
  if (!ended) events.push(...progressOf(sub, run))
  return events
}

/** Whether the execution that the last tick was of is over: who goes on may be another process. */
function isHandedOver({ local, tickedAt }: State, { kind, seq }: Entry): boolean {
  return local && seq > tickedAt && handovers.has(kind)
}

const handovers: ReadonlySet<EventType> = new Set(['run:start', 'run:wait', 'run:release'])

function ticksBefore(sub: State, sequence: number): DurablyEvent[] {
  const later = sub.ticks.findIndex((tick) => tick.sequence >= sequence)
  return sub.ticks.splice(0, later === -1 ? sub.ticks.length : later)
}

/** Told late, it comes after facts that are younger than it: it takes its place among them. */
function heldProgress(sub: State): DurablyEvent[] {
  const { held, position, env } = sub
  if (held === null || held.sequence > position) return []
  sub.held = null
  sub.progressAt = env.elapsed()
  sub.progress = JSON.stringify(held.progress)
  return [{ ...held, sequence: position }]
}

/** Progress of a run that executes elsewhere is known from the run alone. */
function progressOf(sub: State, run: RunRecord): DurablyEvent[] {
  const progress: Progress | null = run.progress
  const text = JSON.stringify(progress)
  if (sub.local || progress === null || text === sub.progress) return []
  sub.progress = text
  return [{ type: 'run:progress', ...fields(sub, toIso(run.updatedAt)), progress }]
}

function deleted(sub: State): DurablyEvent[] {
  if (sub.about === null) return []
  const timestamp = toIso(sub.env.now())
  return [{ type: 'run:delete', ...fields(sub, timestamp), sequence: sub.position + 1 }]
}

function fields({ runId, about, position }: State, timestamp: string) {
  const { jobName, labels } = about ?? { jobName: '', labels: {} }
  return { timestamp, sequence: position, runId, jobName, labels }
}

/** Whether the run ended, was not retried since, and nothing of it is left to read. */
function isOver({ run, entries }: JournalPage): boolean {
  const last = entries.at(-1)?.kind
  return isTerminal(run.status) && (last === undefined || isEnding(last))
}

function close(sub: State, controller: ReadableStreamDefaultController<DurablyEvent>): void {
  sub.unwatch()
  if (sub.about === null) controller.error(new NotFoundError(`Run not found: ${sub.runId}`))
  else controller.close()
}

function change(sub: State): void {
  sub.changed = true
  sub.wake?.()
}

/** Of several steps of progress only the last counts; of ticks that nobody reads the oldest go. */
function onTick(sub: State, tick: DurablyEvent): void {
  if (tick.type === 'worker:error') {
    // It is of no place among the facts, and may be of an execution that is over.
    sub.ticks.push({ ...tick, sequence: sub.position })
  } else {
    // It comes before what was asked for. That another process goes on with the run may be told there too, unread.
    if (tick.sequence < sub.after) return
    sub.local = true
    sub.tickedAt = tick.sequence
    if (tick.type === 'run:progress') sub.held = tick
    else sub.ticks.push(tick)
  }
  if (sub.ticks.length > MAX_TICKS) sub.ticks.shift()
  sub.wake?.()
}
