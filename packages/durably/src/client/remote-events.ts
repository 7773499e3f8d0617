import type { Env } from '../core/env.ts'
import { NotFoundError } from '../core/error.ts'
import type { DurablyEvent, RunChange } from '../core/event.ts'
import { isTick } from '../core/tick.ts'
import { isEnding } from '../core/transitions.ts'
import { readEvents, toStream } from './event-source.ts'
import type { Query, Requests } from './http-requests.ts'

type ClientEnv = Pick<Env, 'after' | 'now' | 'random'>

/** A run's events after a position, over as many connections as it takes. */
export function followRun(
  requests: Requests,
  env: ClientEnv,
  runId: string,
  after: number,
): ReadableStream<DurablyEvent> {
  let position = after
  let last: DurablyEvent | null = null
  /** What this connection told last may be the last there is. */
  let isOver = false

  async function* read(signal: AbortSignal): AsyncGenerator<DurablyEvent> {
    const connect = (hangUp: AbortSignal): Promise<Response> => {
      isOver = false
      return requests.open('/subscribe', { query: { runId, after: position }, signal: hangUp })
    }
    const mayBeOver = (): boolean => isOver
    try {
      for await (const event of readEvents<DurablyEvent>({ env, connect, mayBeOver }, signal)) {
        if (event === null) continue
        if (!isTick(event)) {
          // A server that does not go by positions tells it all again.
          if (event.sequence <= position) continue
          position = event.sequence
        }
        last = event
        isOver = isEnding(event.type)
        yield event
        // Nothing comes after it; any other end may have been taken back by a retry.
        if (event.type === 'run:delete') return
      }
    } catch (error) {
      // Who was there and is no more was deleted meanwhile.
      if (last === null || !(error instanceof NotFoundError)) throw error
      yield deleted(last, position + 1, env)
    }
  }

  return toStream(read)
}

function deleted(last: DurablyEvent, sequence: number, env: ClientEnv): DurablyEvent {
  return {
    type: 'run:delete',
    timestamp: new Date(env.now()).toISOString(),
    sequence,
    runId: last.runId ?? '',
    jobName: last.jobName ?? '',
    labels: 'labels' in last ? last.labels : {},
  }
}

/** What happens to runs; that anything may have changed, when the connection broke and when there is one again. */
export function followRuns(
  requests: Requests,
  env: ClientEnv,
  query: Query,
): ReadableStream<RunChange> {
  async function* read(signal: AbortSignal): AsyncGenerator<RunChange> {
    const connect = (hangUp: AbortSignal) =>
      requests.open('/runs/subscribe', { query, signal: hangUp })
    for await (const change of readEvents<RunChange>({ env, connect }, signal)) {
      yield change ?? { type: 'run:changed', runId: null }
    }
  }

  return toStream(read)
}
