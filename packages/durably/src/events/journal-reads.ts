import type { Codec } from '../core/codec.ts'
import { createDictionary } from '../core/dictionary.ts'
import { toEvent, type DurablyEvent } from '../core/event.ts'
import type { Entry } from '../core/journal.ts'
import type { RunRecord } from '../core/run.ts'

/** Part of a run's journal, and the run as it is with that. */
export interface JournalPage {
  readonly run: RunRecord
  readonly entries: readonly Entry[]
  /** The event that the entry at an index is, the same for all. Throws when it cannot be read. */
  readonly eventAt: (index: number) => DurablyEvent
}

/** Journals as those read them who follow runs: a thousand followers of a run read and decode a page once. */
export interface JournalReads {
  readonly read: (runId: string, after: number, limit: number) => Promise<JournalPage | null>
  /** The run changed: what was begun to be read may not have it. */
  changed(runId: string): void
}

type ReadEntries = (
  runId: string,
  after: number,
  limit: number,
) => Promise<Pick<JournalPage, 'run' | 'entries'> | null>

export function createJournalReads(readEntries: ReadEntries, codec: Codec): JournalReads {
  const pending = createDictionary<Map<string, Promise<JournalPage | null>>>()

  async function readPage(...asked: Parameters<ReadEntries>): Promise<JournalPage | null> {
    const page = await readEntries(...asked)
    if (page === null) return null
    const { run, entries } = page
    const events: DurablyEvent[] = []
    return {
      run,
      entries,
      eventAt: (index) => (events[index] ??= toEvent(entries[index] as Entry, run, codec)),
    }
  }

  return {
    read(runId, after, limit) {
      const ofRun = pending.get(runId) ?? new Map<string, Promise<JournalPage | null>>()
      pending.set(runId, ofRun)
      const key = `${after} ${limit}`
      const begun = ofRun.get(key)
      if (begun !== undefined) return begun
      const reading = readPage(runId, after, limit).finally(() => {
        ofRun.delete(key)
        if (ofRun.size === 0 && pending.get(runId) === ofRun) pending.delete(runId)
      })
      ofRun.set(key, reading)
      return reading
    },
    changed: (runId) => void pending.delete(runId),
  }
}
