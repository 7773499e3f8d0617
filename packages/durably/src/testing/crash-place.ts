import type { Batch } from '../store/store.ts'

/** A place where a process can die, told apart from all others of the run by its text. */
export type CrashPlace = string

/** Names the places that an execution comes to: the second time it comes to one, it is another one. */
export interface Places {
  /** One for each thing that is written: what shares a write is chance. */
  ofWrite(batch: Batch, side: 'before' | 'after'): CrashPlace[]
  ofStep(step: string, side: 'before' | 'after'): CrashPlace
}

export function createPlaces(): Places {
  const visits = new Map<string, number>()
  const visit = (place: string): CrashPlace => {
    const times = (visits.get(place) ?? 0) + 1
    visits.set(place, times)
    return times === 1 ? place : `${place}, time ${times}`
  }
  return {
    ofWrite(batch, side) {
      const places = whatIsWritten(batch).map((what) => visit(`${side} storing ${what}`))
      const start = `${side} storing the start of the run`
      // Later claims find nothing.
      if (places.length > 0 || batch.claim === null || visits.has(start)) return places
      return [visit(start)]
    },
    ofStep: (step, side) => visit(`inside step "${step}", ${side} its effects`),
  }
}

const written = {
  'step:complete': 'the result of step',
  'step:fail': 'the failure of step',
  'run:complete': 'the output of the run',
  'run:fail': 'the failure of the run',
} as const

function whatIsWritten({ commits }: Batch): string[] {
  return commits
    .flatMap(({ entries }) => entries)
    .flatMap(({ kind, name }) => {
      if (!(kind in written)) return []
      const what = written[kind as keyof typeof written]
      return [name === null ? what : `${what} "${name}"`]
    })
}
