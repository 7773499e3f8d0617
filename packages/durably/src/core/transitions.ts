/** The status of a run. */
export type RunStatus = 'pending' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled'

interface Transition {
  readonly from: readonly RunStatus[]
  readonly to: RunStatus | null
  readonly event: `run:${string}`
  /** The lease changes hands: the generation goes up, and older holders are refused from then on. */
  readonly raisesGeneration?: true
}

const active = ['pending', 'running', 'waiting'] as const
const ended = ['completed', 'failed', 'cancelled'] as const

/** The state machine of a run. Nothing else decides whether a status may change, or to what. */
export const transitions = {
  // By anyone, from outside.
  trigger: { from: [], to: 'pending', event: 'run:trigger' },
  cancel: { from: active, to: 'cancelled', event: 'run:cancel', raisesGeneration: true },
  retry: { from: ['failed', 'cancelled'], to: 'pending', event: 'run:retry' },
  delete: { from: ended, to: null, event: 'run:delete' },
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

// Said to have no effect, so that pages, which do not use it, need not load it.
export const runStatuses: readonly RunStatus[] = /* @__PURE__ */ [active, ended].flat()

/** The statuses at which a run has ended. */
export const terminalStatuses: readonly RunStatus[] = ended

/** The statuses of runs that are still to do. */
export const activeStatuses: readonly RunStatus[] = active

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
  return terminalStatuses.includes(status)
}

type Transitions = typeof transitions
type Ending = {
  [K in TransitionName]: Transitions[K]['to'] extends (typeof ended)[number] | null
    ? Transitions[K]['event']
    : never
}[TransitionName]

// Written out, so that a page does not load the table for it: one that is missing, or is none, does not compile.
const endings: Readonly<Record<Ending, true>> = {
  'run:complete': true,
  'run:fail': true,
  'run:cancel': true,
  'run:delete': true,
}

/** Whether a run has ended, or is gone, once this was announced of it. */
export function isEnding(event: string): boolean {
  return Object.hasOwn(endings, event)
}
