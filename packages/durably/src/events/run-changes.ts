import type { Env } from '../core/env.ts'
import type { DurablyEvent, RunChange } from '../core/event.ts'
import type { RunChangeFilter } from '../core/handle.ts'
import type { Labels } from '../core/run.ts'
import type { Follower } from './bus.ts'
import { createSoon } from './soon.ts'

export interface RunChangesOptions extends RunChangeFilter {
  readonly follow: (follower: Follower) => () => void
  readonly env: Env
  /** Throws what whoever reads is told once the instance is closed. */
  readonly requireOpen: () => void
}

/** Hints that come thicker than this are told together: whoever hears one reads the whole list again. */
const HINT_GAP_MS = 50
/** What nobody reads is forgotten beyond this; one hint, that anything may have changed, stands for it. */
const MAX_QUEUED = 1000

/** What this process does to runs, and hints that others did something: for lists, which read again what they show. */
export function createRunChanges(options: RunChangesOptions): ReadableStream<RunChange> {
  const queue = createQueue()
  const hints = createHints(options.env, queue.push)
  let unfollow = (): void => {}

  /** Nothing was there to take: it is over. */
  function end(): void {
    unfollow()
    hints.cancel()
    options.requireOpen()
  }

  return new ReadableStream<RunChange>({
    start() {
      unfollow = options.follow({
        onEvent(event) {
          if (matches(event, options)) queue.push(event as RunChange)
        },
        onChange: hints.add,
        onClose: queue.close,
      })
    },
    async pull(controller) {
      const changes = await queue.take()
      if (changes.length === 0) end()
      for (const change of changes) controller.enqueue(change)
    },
    cancel() {
      unfollow()
      hints.cancel()
      queue.close()
    },
  })
}

/** Whether an event is of a run that a filter asks for. */
export function matches(event: DurablyEvent, { jobName, labels = {} }: RunChangeFilter): boolean {
  if (jobName !== undefined && event.jobName !== jobName) return false
  const own: Labels = 'labels' in event ? event.labels : {}
  return Object.entries(labels).every(([name, value]) => own[name] === value)
}

/** What waits to be read. */
function createQueue() {
  let queued: RunChange[] = []
  let isClosed = false
  let wake: (() => void) | null = null
  return {
    push(change: RunChange): void {
      if (queued.length >= MAX_QUEUED) queued = [{ type: 'run:changed', runId: null }]
      else queued.push(change)
      wake?.()
    },
    /** All there is, once there is something; nothing once it was closed. */
    async take(): Promise<RunChange[]> {
      if (queued.length === 0 && !isClosed) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      wake = null
      return queued.splice(0)
    },
    close(): void {
      isClosed = true
      wake?.()
    },
  }
}

/** Passes hints on, the first at once, those that follow closely together. */
function createHints(env: Env, push: (change: RunChange) => void) {
  const pending = new Set<string | null>()
  const soon = createSoon(env, HINT_GAP_MS, () => {
    // That anything may have changed says it of each.
    const runIds = pending.has(null) ? [null] : [...pending]
    pending.clear()
    for (const runId of runIds) push({ type: 'run:changed', runId })
  })
  return {
    add(runId: string | null): void {
      pending.add(runId)
      soon.ask()
    },
    cancel: soon.cancel,
  }
}
