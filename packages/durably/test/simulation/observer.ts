import type { DurablyEvent } from '../../src/core/event.ts'
import type { Witness } from './workload.ts'

/** Sees what jobs do and what processes announce, and holds that against the promises. */
export interface Observer extends Witness {
  readonly violations: string[]
  /** A process announced an event. */
  announced(process: string, event: DurablyEvent): void
  /** A client was told that this run exists. */
  acknowledged(run: string): void
  retried(run: string, attempt: number): void
  readonly triggered: ReadonlySet<string>
  /** Of a run, latest last. */
  tokens(run: string): readonly string[]
}

interface Told {
  readonly attempt: number
  readonly outcomes: string[]
}

/**
 * `attemptOf` tells which attempt of a run is under way, `goesOn` of a run that it can always end, also when another one
 * waits for it: it needs no key that one may hold, and waits for nobody.
 */
export function createObserver(
  attemptOf: (run: string) => number,
  goesOn: (run: string) => boolean,
): Observer {
  const violations: string[] = []
  const triggered = new Set<string>()
  const executions = new Map<string, number>()
  const completed = new Set<string>()
  // What each execution of a run was told, latest first.
  const histories = new Map<string, Map<number, Told>>()
  const announced = new Map<string, string>()
  /** The same with who announced it. */
  const announcedBy = new Set<string>()
  const refused = new Set<string>()
  const retries = new Map<string, number[]>()
  const tokens = new Map<string, Set<string>>()
  /** Which wait of a run got what was sent. */
  const takers = new Map<string, string>()
  let lastExecution = 0

  /** All executions of one attempt are told the same outcomes in the same order, each as far as it comes. */
  function compare(run: string, execution: number, mine: Told): void {
    const at = mine.outcomes.length - 1
    for (const [other, told] of histories.get(run) ?? []) {
      if (other === execution || told.attempt > mine.attempt) continue
      const theirs = told.outcomes[at]
      if (theirs === undefined || forgotten(run, told, mine)) continue
      if (theirs !== mine.outcomes[at]) {
        violations.push(`${run} was told "${theirs}", and on replay "${mine.outcomes[at]}"`)
      }
    }
  }

  /** A retry lies between the two: it forgets failures, and what followed from them. */
  function forgotten(run: string, a: Told, b: Told): boolean {
    return (retries.get(run) ?? []).some((attempt) => a.attempt < attempt && attempt <= b.attempt)
  }

  /** What was sent once is given to one wait. */
  function takes(run: string, step: string, sent: string): void {
    const taker = takers.get(`${run} ${sent}`) ?? step
    takers.set(`${run} ${sent}`, taker)
    if (taker !== step) violations.push(`${sent} was given to ${taker} and to ${step} of ${run}`)
  }

  return {
    violations,
    triggered,
    acknowledged: (run) => void triggered.add(run),
    refuses: (run, step) => void refused.add(`${run} ${step}`),
    retried: (run, attempt) => void retries.set(run, [...(retries.get(run) ?? []), attempt]),
    hands: (run, token) => void tokens.set(run, new Set(tokens.get(run)).add(token)),
    tokens: (run) => [...(tokens.get(run) ?? [])],
    anyRun: (run) => [...triggered].findLast((other) => other !== run && goesOn(other)) ?? run,
    newExecution: () => ++lastExecution,
    executions: (run, step) => executions.get(`${run} ${step}`) ?? 0,
    executes(run, attempt, step) {
      const name = `${run} ${step}`
      executions.set(name, (executions.get(name) ?? 0) + 1)
      // Who froze and does not know yet that the run is another's may begin what that one has done.
      const isStale = attempt < attemptOf(run)
      if (completed.has(name) && !isStale)
        violations.push(`${name} was executed again after it had resolved`)
    },
    settles(run, attempt, execution, what) {
      const [, step, sign, error] = /^(.*?)([=!])(\w*)/.exec(what) ?? []
      if (error === 'RejectedWriteError' && !refused.has(`${run} ${step}`)) {
        violations.push(`${run} ${step} failed with a write that was not its own`)
      }
      if (sign === '=') completed.add(`${run} ${step}`)
      // A step that is named after what was sent is none that takes it.
      const [, taker, sent] = /^([^ ]*?)=\w+:"(sent-[^"]+)"$/.exec(what) ?? []
      if (taker !== undefined && sent !== undefined) takes(run, taker, sent)
      const ofRun = histories.get(run) ?? new Map<number, Told>()
      const mine = ofRun.get(execution) ?? { attempt, outcomes: [] }
      mine.outcomes.push(what)
      ofRun.set(execution, mine)
      histories.set(run, ofRun)
      compare(run, execution, mine)
    },
    announced(process, event) {
      if (event.runId === null || !isFact(event)) return
      const position = `${event.runId} ${event.sequence}`
      const text = `${event.type} ${'stepName' in event ? event.stepName : ''}`
      const said = `${process} ${position} ${event.type}`
      if (announcedBy.has(said)) violations.push(`${process} announced ${position} twice`)
      announcedBy.add(said)
      const before = announced.get(position)
      if (before !== undefined && before !== text && event.type !== 'run:delete') {
        violations.push(`${process} announced ${position} as ${text}, it was ${before}`)
      }
      announced.set(position, text)
    },
  }
}

function isFact({ type }: DurablyEvent): boolean {
  return type !== 'step:start' && type !== 'run:progress' && type !== 'worker:error'
}
