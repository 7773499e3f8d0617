import type { Env } from '../core/env.ts'
import type { EventRun, EventType } from '../core/event.ts'
import type { RunRecord } from '../core/run.ts'
import { isEnding, transitions } from '../core/transitions.ts'
import type { WaitHow } from '../core/wait-how.ts'
import type { Watcher } from './bus.ts'
import { waitForRun, watchChanges, type Changes, type WaitOptions } from './wait-for-run.ts'

/** What a run came to. */
type Outcome = Pick<RunRecord, 'id' | 'status' | 'output' | 'error'>

/** A run that is about to be made. */
interface Expected {
  /** What it came to, once it was made; rejects unless that is its completion. */
  outcome(how: WaitHow): Promise<Outcome>
  /** It is not expected any more. */
  stop(): void
}

/** Waits for the ends of runs, whichever process executes them. */
interface RunWaits {
  /** The completed run. Everything else it can come to rejects. */
  ended(runId: string, how: WaitHow): Promise<RunRecord>
  /** Watches a run from before it is made: nothing has to be read if it is executed here. */
  expect(runId: string): Expected
}

export interface RunWaitsOptions {
  readonly env: Env
  readonly pollMs: number
  readonly read: (runId: string) => Promise<RunRecord | null>
  readonly watch: (runId: string, watcher: Watcher) => () => void
  readonly onError: (error: unknown, context: string) => void
}

type EndOf<T> = (event: EventType | null, run: EventRun | null) => T | null

export function createRunWaits(options: RunWaitsOptions): RunWaits {
  const { env, pollMs, read, watch, onError } = options

  function wait<T extends Outcome>(
    runId: string,
    changes: Changes<T>,
    how: WaitHow & Pick<WaitOptions<T>, 'isNew' | 'read'>,
  ): Promise<T> {
    return waitForRun({
      ...how,
      env,
      runId,
      changes,
      errorOf: (run) => run.error,
      onError: (error) => onError(error, `waiting for run ${runId}`),
    })
  }

  /** `endOf` tells what the run came to, where the event tells all of it. */
  function changesOf<T>(runId: string, endOf: EndOf<T>): Changes<T> {
    return watchChanges({
      env,
      pollMs,
      watch: (onChange) =>
        watch(runId, {
          onChange(event, run) {
            if (event === null || isEnding(event)) onChange(endOf(event, run))
          },
        }),
    })
  }

  return {
    async ended(runId, how) {
      const changes = changesOf<RunRecord>(runId, () => null)
      try {
        return await wait(runId, changes, { ...how, isNew: false, read })
      } finally {
        changes.stop()
      }
    },
    expect(runId) {
      const changes = changesOf(runId, completed)
      return {
        outcome: (how) => wait(runId, changes, { ...how, isNew: true, read }),
        stop: changes.stop,
      }
    },
  }
}

/** Of a run that completed here, the event tells all that it came to. */
function completed(event: EventType | null, run: EventRun | null): Outcome | null {
  if (event !== 'run:complete' || run === null) return null
  return { id: run.id, status: transitions.complete.to, output: run.output, error: null }
}
