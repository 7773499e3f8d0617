import type { ErrorDetail } from '../core/error.ts'
import type { DurablyEvent, RunChange } from '../core/event.ts'
import type { Run } from '../core/run.ts'
import type { Log, Step } from '../core/step.ts'
import type { Access } from './access.ts'

/** What whoever has the access sees of a run. */
export function shownRun<T extends Run>(run: T, access: Access): T {
  const errorDetail = shownError(run.errorDetail, access)
  return { ...run, errorDetail, ...(hides(access, run) ? { payload: null, output: null } : {}) }
}

export function shownSteps(steps: readonly Step[], run: Run, access: Access): readonly Step[] {
  return hides(access, run) ? steps.map((step) => ({ ...step, output: null })) : steps
}

export function shownLogs(logs: readonly Log[], run: Run, access: Access): readonly Log[] {
  return hides(access, run) ? logs.map((log) => ({ ...log, data: null })) : logs
}

/** Whatever field of an event has a value of the app's. */
const valueFields = ['payload', 'output', 'data', 'chunk'] as const

/** The event itself, where there is nothing to keep back. */
export function shownEvent<E extends DurablyEvent | RunChange>(event: E, access: Access): E {
  const { jobName = null } = event as { readonly jobName?: string | null }
  const isHidden = jobName !== null && hides(access, { jobName })
  if (event.type === 'worker:error') return access.showStacks === true ? event : internal(event)
  if (!isHidden && !('errorDetail' in event)) return event
  const shown: Record<string, unknown> = { ...event }
  if (isHidden) for (const field of valueFields) if (field in event) shown[field] = null
  if ('errorDetail' in event) shown.errorDetail = shownError(event.errorDetail, access)
  return shown as E
}

/** What a driver or the app's own code says of its failures is for the server's developer, as in a 500. */
function internal<E extends DurablyEvent | RunChange>(event: E): E {
  const error = 'Internal error'
  return { ...event, error, errorDetail: { name: 'Error', message: error } }
}

function hides({ hidePayload }: Access, { jobName }: { readonly jobName: string }): boolean {
  return hidePayload !== undefined && hidePayload(jobName) !== false
}

function shownError(error: ErrorDetail | null, access: Access): ErrorDetail | null {
  if (error === null || access.showStacks === true) return error
  const { name, message, code, step, cause } = error
  const shownCause = shownError(cause ?? null, access)
  return {
    name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(step === undefined ? {} : { step }),
    ...(shownCause === null ? {} : { cause: shownCause }),
  }
}
