import type { Encoded } from '../core/codec.ts'
import type { RunRecord } from '../core/run.ts'
import type { Ending } from './store.ts'

/** What a run that watches another is told of its end. */
export function endingOf({ status, output, error }: RunRecord): Encoded {
  const ending: Ending = { status, output, error }
  return { format: 'json', text: JSON.stringify(ending) }
}
