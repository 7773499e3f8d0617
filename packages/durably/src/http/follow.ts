import type { RunChange } from '../core/event.ts'
import type { Run } from '../core/run.ts'
import { isTick } from '../core/tick.ts'
import { isTerminal } from '../core/transitions.ts'
import { isInScope, type Access } from './access.ts'
import type { Call } from './call.ts'
import { createEventStream, toFrame } from './event-stream.ts'
import { toText, wantsRich } from './messages.ts'
import { jobNamesOf, labelsOf } from './pages.ts'
import { parseCount, readChangesQuery, readCount, type FilterQuery } from './query.ts'
import { shownEvent } from './shown.ts'

/** Events of one run as they come, from a position on. */
export async function followRun(call: Call, run: Run): Promise<Response> {
  const { client, access, query, request } = call
  const lastSeen = request.headers.get('last-event-id')
  const after =
    lastSeen === null ? readCount(query, 'after') : parseCount(lastSeen, 'Last-Event-ID')
  const { id } = run
  return follow(call, {
    open: () => client.subscribe(id, { after: after ?? 0 }),
    // Nothing may be left to say: a browser would come again and again, unless it is told not to.
    mayBeOver: after !== null && isTerminal(run.status) ? () => isEnded(client, id) : null,
    show: (event) => [shownEvent(event, access), isTick(event) ? null : event.sequence],
  })
}

/** Not as far as a database knows that does not answer. */
async function isEnded(client: Call['client'], runId: string): Promise<boolean> {
  const run = await client.getRun(runId).catch(() => null)
  return run !== null && isTerminal(run.status)
}

/** What happens to runs, for lists. */
export async function followRuns(call: Call): Promise<Response> {
  const { client, access, query } = call
  const wanted = readChangesQuery(query)
  // Who may read only some runs hears no more than that something changed, and so not of what it was by asking for it.
  const { jobName, labels: asked } = access.may === undefined ? wanted : everything
  const names = jobNamesOf(client, access, jobName)
  const [labels] = labelsOf(access, asked)
  const isNothing = labels === undefined || names.length === 0
  const filter = names.length === 1 ? { jobName: names[0], labels } : { labels }
  // Out of the stream, not of its frames: what is left out must not put off a heartbeat.
  const isTold = (change: RunChange): boolean =>
    change.type === 'run:changed' || (!isNothing && isInScope(access, change))
  return follow(call, {
    open: () => client.subscribeRuns(filter).pipeThrough(createSieve(isTold)),
    mayBeOver: null,
    show: (change) => [shownChange(change, access), null],
  })
}

function createSieve<T>(passes: (event: T) => boolean): TransformStream<T, T> {
  return new TransformStream<T, T>({
    transform(event, controller) {
      if (passes(event)) controller.enqueue(event)
    },
  })
}

const everything: FilterQuery = { labels: {} }
const anything: RunChange = { type: 'run:changed', runId: null }

/** Which run it was, only to those who may know that it exists. */
function shownChange(change: RunChange, access: Access): RunChange {
  const isHint = change.type === 'run:changed' && access.scope !== undefined
  return access.may !== undefined || isHint ? anything : shownEvent(change, access)
}

interface Following<T> {
  readonly open: () => ReadableStream<T>
  /** Null unless it may end before it says anything: then there is no stream at all. Whether it still may. */
  readonly mayBeOver: (() => Promise<boolean>) | null
  readonly show: (event: T) => readonly [shown: object, position: number | null]
}

async function follow<T>(call: Call, following: Following<T>): Promise<Response> {
  const onEnd = call.openStream()
  try {
    return await begin(call, following, onEnd)
  } catch (error) {
    onEnd()
    throw error
  }
}

async function begin<T>(
  { env, request, onError }: Call,
  { open, mayBeOver, show }: Following<T>,
  onEnd: () => void,
): Promise<Response> {
  const reader = open().getReader()
  const first = mayBeOver === null ? undefined : reader.read()
  if (first !== undefined && mayBeOver !== null && (await isOver(first, mayBeOver, env))) {
    onEnd()
    return new Response(null, { status: 204 })
  }
  const isRich = wantsRich(request)
  const frame = (event: T): string => {
    const [shown, position] = show(event)
    return toFrame(textOf(shown, isRich), position)
  }
  const { signal } = request
  const body = createEventStream({ reader, first, frame, env, signal, onEnd, onError })
  return new Response(body, { headers: eventStreamHeaders })
}

/** A run that goes on after all, for it was retried, may say nothing for a long time. */
const PATIENCE_MS = 1000

/** A slow answer is waited for as long as there may be none. */
async function isOver<T>(
  first: Promise<ReadableStreamReadResult<T>>,
  mayBeOver: () => Promise<boolean>,
  env: Call['env'],
): Promise<boolean> {
  do {
    let cancel = (): void => {}
    const tooLong = new Promise<null>((resolve) => {
      cancel = env.after(PATIENCE_MS, () => resolve(null))
    })
    const result = await Promise.race([first, tooLong]).finally(() => cancel())
    if (result !== null) return result.done
  } while (await mayBeOver())
  return false
}

// Those who follow one run get the same events: they are written out once.
const plainTexts = new WeakMap<object, string>()
const richTexts = new WeakMap<object, string>()

function textOf(event: object, isRich: boolean): string {
  const texts = isRich ? richTexts : plainTexts
  const known = texts.get(event)
  if (known !== undefined) return known
  const text = toText(event, isRich)
  texts.set(event, text)
  return text
}

const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // Some proxies collect what they pass on unless they are told not to.
  'x-accel-buffering': 'no',
}
