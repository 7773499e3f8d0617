/** Where a run stands. */
export type RunStatus = 'pending' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled'

/**
 * Who may make a transition: `holder`, the execution whose lease fences the write; `worker`, the store on
 * behalf of a worker, for a run nobody holds (any more); `client`, anyone from outside.
 */
type Actor = 'holder' | 'worker' | 'client'

interface Transition {
  readonly from: readonly RunStatus[]
  readonly to: RunStatus | null
  readonly event: `run:${string}`
  readonly by: Actor
  /** The lease changes hands: the generation goes up, and older holders are refused from then on. */
  readonly raisesGeneration: boolean
}

const kept = { raisesGeneration: false } as const
const raised = { raisesGeneration: true } as const

/** The state machine of a run. Nothing else decides whether a status may change, or to what. */
export const transitions = {
  trigger: { from: [], to: 'pending', event: 'run:trigger', by: 'client', ...kept },
  claim: { from: ['pending'], to: 'running', event: 'run:start', by: 'worker', ...raised },
  reclaim: { from: ['running'], to: 'running', event: 'run:start', by: 'worker', ...raised },
  recover: { from: ['running'], to: 'pending', event: 'run:release', by: 'worker', ...kept },
  park: { from: ['running'], to: 'waiting', event: 'run:wait', by: 'holder', ...kept },
  wake: { from: ['waiting'], to: 'pending', event: 'run:wake', by: 'worker', ...kept },
  complete: { from: ['running'], to: 'completed', event: 'run:complete', by: 'holder', ...kept },
  fail: { from: ['running'], to: 'failed', event: 'run:fail', by: 'holder', ...kept },
  release: { from: ['running'], to: 'pending', event: 'run:release', by: 'holder', ...kept },
  cancel: {
    from: ['pending', 'running', 'waiting'],
    to: 'cancelled',
    event: 'run:cancel',
    by: 'client',
    ...raised,
  },
  retry: {
    from: ['failed', 'cancelled'],
    to: 'pending',
    event: 'run:retry',
    by: 'client',
    ...kept,
  },
  expire: { from: ['pending'], to: 'cancelled', event: 'run:cancel', by: 'worker', ...kept },
  delete: {
    from: ['completed', 'failed', 'cancelled'],
    to: null,
    event: 'run:delete',
    by: 'client',
    ...kept,
  },
} as const satisfies Record<string, Transition>

export type TransitionName = keyof typeof transitions

export const runStatuses: readonly RunStatus[] = [
  'pending',
  'running',
  'waiting',
  'completed',
  'failed',
  'cancelled',
]

/** Whether `transition` is legal for a run that stands at `status`. */
export function isLegal(transition: TransitionName, status: RunStatus): boolean {
  const from: readonly RunStatus[] = transitions[transition].from
  return from.includes(status)
}

/** A run that ended: only a retry or a deletion can change it. */
export function isTerminal(status: RunStatus): boolean {
  return isLegal('delete', status)
}

const endings: ReadonlySet<string> = new Set(
  Object.values(transitions)
    .filter(({ to }) => to === null || isTerminal(to))
    .map(({ event }) => event),
)

/** Whether a run has ended, or is gone, once this was announced of it. */
export function isEnding(event: string): boolean {
  return endings.has(event)
}

/** The statuses at which a run has ended. */
export const terminalStatuses: readonly RunStatus[] = transitions.delete.from

/** The statuses of runs that are still to do. */
export const activeStatuses: readonly RunStatus[] = transitions.cancel.from
