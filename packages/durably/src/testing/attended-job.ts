import type { JobDefinition } from '../core/job.ts'
import type { StepContext, StepInfo, StepOptions } from '../core/step-context.ts'

/** An execution of a step's function. */
export interface StepExecution {
  readonly jobName: string
  readonly runId: string
  readonly name: string
  readonly info: StepInfo
  /** Calls the function; time stands still until it is done. */
  readonly execute: () => Promise<unknown>
}

export interface JobAttendance {
  /** Told of code of the job that is at work. */
  readonly attend: (work: Promise<unknown>) => void
  /** Stands between each step and its function. */
  readonly perform: (execution: StepExecution) => Promise<unknown>
  /** Told of each step that the code calls, also of one whose result is recorded. */
  readonly onStep?: (jobName: string, step: string) => void
  /** Told when the code has come to its end and did not fail. */
  readonly onEnd?: (jobName: string) => void
}

/** The same job, with its code attended: time must not pass while it does real work, in a step or between steps. */
export function attendJob(job: JobDefinition, attendance: JobAttendance): JobDefinition {
  return {
    ...job,
    async run(step, payload) {
      const shift = createShift(attendance.attend)
      try {
        const output = await job.run(attendContext(step, job.name, attendance, shift), payload)
        attendance.onEnd?.(job.name)
        return output
      } finally {
        shift.end()
      }
    },
  }
}

/** Whether the code between steps is at work: it is, unless it waits for a step. */
interface Shift {
  waitFor(call: Promise<unknown>): void
  end(): void
}

function createShift(attend: (work: Promise<unknown>) => void): Shift {
  let open = 0
  let ended = false
  let rest = (): void => {}
  const work = (): void => {
    if (open > 0 || ended) return
    const { promise, resolve } = Promise.withResolvers<void>()
    rest = resolve
    attend(promise)
  }
  const closed = (): void => {
    open--
    work()
  }
  work()
  return {
    waitFor(call) {
      open++
      rest()
      call.then(closed, closed)
    },
    end() {
      ended = true
      rest()
    },
  }
}

type Member = (...args: readonly unknown[]) => unknown

function attendContext(
  step: StepContext,
  jobName: string,
  attendance: JobAttendance,
  shift: Shift,
): StepContext {
  const run: StepContext['run'] = (name, fn, options?: StepOptions) => {
    attendance.onStep?.(jobName, name)
    return step.run(name, typeof fn === 'function' ? attendStep(fn, name) : fn, options)
  }
  const attendStep =
    <T>(fn: (signal: AbortSignal, info: StepInfo) => T | Promise<T>, name: string) =>
    (signal: AbortSignal, info: StepInfo): Promise<T> => {
      const execute = (): Promise<T> => {
        const work = (async () => fn(signal, info))()
        attendance.attend(work)
        return work
      }
      const { runId } = step
      return attendance.perform({ jobName, runId, name, info, execute }) as Promise<T>
    }
  const members = Object.entries({ ...step, run }).map(([name, member]: [string, unknown]) => [
    name,
    typeof member === 'function' ? awaited(member as Member, shift) : member,
  ])
  return Object.fromEntries(members) as StepContext
}

function awaited(member: Member, shift: Shift): Member {
  return (...args) => {
    const answer = member(...args)
    if (answer instanceof Promise) shift.waitFor(answer)
    return answer
  }
}
