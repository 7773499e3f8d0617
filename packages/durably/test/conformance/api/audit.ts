import type { DurablyEvent, EventType } from '../../../src/core/event.ts'
import type { Entry } from '../../../src/core/journal.ts'
import { toIso } from '../../../src/core/run.ts'
import type { Store } from '../../../src/store/store.ts'

const kinds: Record<EventType, 'fact' | 'tick'> = {
  'run:trigger': 'fact',
  'run:coalesced': 'fact',
  'run:start': 'fact',
  'run:wait': 'fact',
  'run:wake': 'fact',
  'run:release': 'fact',
  'run:complete': 'fact',
  'run:fail': 'fact',
  'run:cancel': 'fact',
  'run:retry': 'fact',
  'run:delete': 'fact',
  'run:progress': 'tick',
  'step:start': 'tick',
  'step:complete': 'fact',
  'step:fail': 'fact',
  'step:wait': 'fact',
  'step:retry': 'fact',
  'step:cancel': 'fact',
  'step:chunk': 'fact',
  'log:write': 'fact',
  'worker:error': 'tick',
}

export const eventTypes = Object.keys(kinds) as EventType[]

export function isFact({ type }: DurablyEvent): boolean {
  return kinds[type] === 'fact'
}

/** Throws unless journals have no gaps, and everyone announced what they say, once and in their order. */
export async function audit(
  store: Store,
  processes: readonly { readonly events: readonly DurablyEvent[] }[],
): Promise<void> {
  const journals = new Map<string, readonly Entry[]>()
  const runs = await store.runs({})
  for (let at = 0; at < runs.length; at += AT_ONCE) {
    await Promise.all(
      runs.slice(at, at + AT_ONCE).map(async ({ id }) => {
        const entries = (await store.journal(id, 0, Number.MAX_SAFE_INTEGER))?.entries ?? []
        const gap = entries.findIndex(({ seq }, i) => seq !== i + 1)
        if (gap !== -1) throw new Error(`The journal of run ${id} has no entry ${gap + 1}`)
        journals.set(id, entries)
      }),
    )
  }
  for (const { events } of processes) checkAnnounced(events.filter(isFact), journals)
}

/** Runs that are asked for together are read by one statement. */
const AT_ONCE = 500

function checkAnnounced(
  facts: readonly DurablyEvent[],
  journals: ReadonlyMap<string, readonly Entry[]>,
): void {
  const announced = new Map<string, number>()
  for (const { type, runId, sequence, timestamp } of facts) {
    if (runId === null) continue
    const before = announced.get(runId) ?? 0
    const what = `${type} ${sequence} of run ${runId}`
    if (sequence <= before) throw new Error(`${what} was announced after ${before}`)
    announced.set(runId, sequence)
    const journal = journals.get(runId)
    if (journal === undefined || type === 'run:delete') continue
    const entry = journal[sequence - 1]
    if (entry?.kind === type && toIso(entry.at) === timestamp) continue
    throw new Error(`${what} was announced, but there stands ${JSON.stringify(entry)}`)
  }
}

/** Notes every rejection that nobody handled, until it is stopped. */
export function watchForUnhandledRejections(): { check(): void; stop(): void } {
  const reasons: unknown[] = []
  const stop = onUnhandledRejection((reason) => void reasons.push(reason))
  return {
    check() {
      if (reasons.length > 0) throw new Error('Nobody handled a rejection', { cause: reasons[0] })
    },
    stop,
  }
}

/** In Node or in a browser. */
function onUnhandledRejection(note: (reason: unknown) => void): () => void {
  if (typeof window === 'undefined') {
    process.on('unhandledRejection', note)
    return () => void process.off('unhandledRejection', note)
  }
  const listener = ({ reason }: PromiseRejectionEvent): void => note(reason)
  window.addEventListener('unhandledrejection', listener)
  return () => window.removeEventListener('unhandledrejection', listener)
}
