import { transitions, type TransitionName } from '../../core/transitions.ts'

/** The guard of a transition, to stand after the name of a status column. */
export function allowedFrom(transition: TransitionName): string {
  const statuses = transitions[transition].from.map((status) => `'${status}'`)
  return `in (${statuses.join(', ')})`
}
