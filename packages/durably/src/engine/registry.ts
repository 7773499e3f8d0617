import { ValidationError } from '../core/error.ts'
import type { JobHandle } from '../core/handle.ts'
import { requireJob, type JobDefinition } from '../core/job.ts'
import { requireObject } from '../core/require-object.ts'

/** The handles of the jobs this process knows. */
export interface Registry {
  /** The handles under the keys they were registered with. */
  readonly handles: Readonly<Record<string, JobHandle>>
  register(definitions: Readonly<Record<string, JobDefinition>>): Record<string, JobHandle>
  handle(jobName: string): JobHandle | undefined
}

/** Fills `jobs` with what is registered. */
export function createRegistry(
  jobs: Map<string, JobDefinition>,
  createHandle: (job: JobDefinition) => JobHandle,
): Registry {
  const byName = new Map<string, JobHandle>()
  const handles: Record<string, JobHandle> = {}

  function check(definitions: Readonly<Record<string, JobDefinition>>): void {
    requireObject(definitions, 'jobs')
    const named = new Map(jobs)
    for (const [key, job] of Object.entries(definitions)) {
      requireJob(job, `register: "${key}"`)
      const taken = Object.hasOwn(handles, key) ? handles[key]?.name : undefined
      if (taken !== undefined && taken !== job.name) {
        throw new ValidationError(
          `register: "${key}" is job "${taken}" in durably.jobs already; give job "${job.name}" another key`,
        )
      }
      if ((named.get(job.name) ?? job) !== job) {
        throw new ValidationError(
          `Job "${job.name}" is already registered with a different definition`,
        )
      }
      named.set(job.name, job)
    }
  }

  function register(definitions: Readonly<Record<string, JobDefinition>>) {
    check(definitions)
    const registered = Object.fromEntries(
      Object.entries(definitions).map(([key, job]) => {
        const handle = byName.get(job.name) ?? createHandle(job)
        jobs.set(job.name, job)
        byName.set(job.name, handle)
        return [key, handle]
      }),
    )
    // An assignment would lose a key called `__proto__`.
    Object.defineProperties(handles, Object.getOwnPropertyDescriptors(registered))
    return registered
  }

  return { handles, register, handle: (jobName) => byName.get(jobName) }
}
