import type { JobDefinition } from '../../../src/core/job.ts'
import type { World } from './world.ts'

export const MINUTE = 60_000

/** Starts a run of the job, and lets it come to where it waits. */
export async function begin(world: World, definition: JobDefinition) {
  const process = await world.work({ job: definition })
  const { id } = await world.until(process.jobs.job.trigger(null))
  await world.advance(60)
  return { ...process, id }
}
