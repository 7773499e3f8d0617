import type { DurablyEvent } from '../core/event.ts'
import type { Log } from '../core/step.ts'

/** The last lines of a run's log. */
export interface Logs {
  /** Takes an event of the run into account; those of a run come in order. */
  add(event: DurablyEvent): void
  /** Takes in lines from before those that are known; others among them do not count. */
  prepend(lines: readonly Log[]): void
  /** How many lines more are to be kept, of those that were left out. */
  wanted(): number
  /** Oldest first; the same until they change. */
  lines(): readonly Log[]
}

/** Keeps so many as `max` says whenever it is asked. */
export function foldLogs(max: () => number): Logs {
  let kept: Log[] = []
  let shown: readonly Log[] | null = null
  let isCut = false

  return {
    add(event) {
      if (event.type !== 'log:write') return
      const { sequence, stepName, level, message, data, timestamp } = event
      kept.push({ sequence, stepName, level, message, data, timestamp })
      shown = null
      if (kept.length <= max()) return
      kept.shift()
      isCut = true
    },
    prepend(lines) {
      const first = kept[0]?.sequence ?? 0
      kept = [...lines.filter(({ sequence }) => sequence < first), ...kept].slice(-max())
      shown = null
    },
    wanted: () => (isCut ? max() - kept.length : 0),
    lines() {
      shown ??= [...kept]
      return shown
    },
  }
}
