/** Where a run stands. */
export type RunStatus = 'pending' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled'

interface Transition {
  readonly from: readonly RunStatus[]
  readonly to: RunStatus | null
  readonly event: `run:${string}`
  /** The lease changes hands: the generation goes up, and older holders are refused from then on. */
  readonly raisesGeneration?: true
}

/** The state machine of a run. Nothing else decides whether a status may change, or to what. */
export const transitions = {
  // By anyone, from outside.
  trigger: { from: [], to: 'pending', event: 'run:trigger' },
  cancel: {
    from: ['pending', 'running', 'waiting'],
    to: 'cancelled',
    event: 'run:cancel',
    raisesGeneration: true,
  },
  retry: { from: ['failed', 'cancelled'], to: 'pending', event: 'run:retry' },
  delete: { from: ['completed', 'failed', 'cancelled'], to: null, event: 'run:delete' },
  // By the store on behalf of a worker, for a run that nobody holds (any more).
  claim: { from: ['pending'], to: 'running', event: 'run:start', raisesGeneration: true },
  reclaim: { from: ['running'], to: 'running', event: 'run:start', raisesGeneration: true },
  recover: { from: ['running'], to: 'pending', event: 'run:release' },
  wake: { from: ['waiting'], to: 'pending', event: 'run:wake' },
  expire: { from: ['pending'], to: 'cancelled', event: 'run:cancel' },
  // By the execution whose lease fences the write.
  park: { from: ['running'], to: 'waiting', event: 'run:wait' },
  complete: { from: ['running'], to: 'completed', event: 'run:complete' },
  fail: { from: ['running'], to: 'failed', event: 'run:fail' },
  release: { from: ['running'], to: 'pending', event: 'run:release' },
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

export function raisesGeneration(transition: TransitionName): boolean {
  return 'raisesGeneration' in transitions[transition]
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
