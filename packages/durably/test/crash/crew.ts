import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Place } from './places.ts'

/** Worker processes on one database. */
export interface Crew {
  /** Kills a worker with SIGKILL and starts another in its place. */
  killOne(random: () => number): Promise<void>
  /** What workers said went wrong. */
  readonly errors: string[]
  dismiss(): Promise<void>
}

export async function startCrew(size: number, place: Place, effectsFile: string): Promise<Crew> {
  const errors: string[] = []
  const workers = await Promise.all(
    Array.from({ length: size }, () => startWorker(place, effectsFile, errors)),
  )
  return {
    errors,
    async killOne(random) {
      const at = Math.floor(random() * workers.length)
      await kill(workers[at])
      workers[at] = await startWorker(place, effectsFile, errors)
    },
    async dismiss() {
      await Promise.all(workers.map(kill))
    },
  }
}

async function startWorker(
  { driver, at }: Place,
  effectsFile: string,
  errors: string[],
): Promise<ChildProcess> {
  const worker = fork(new URL('worker-process.ts', import.meta.url), [driver, at, effectsFile])
  worker.on('message', (message) => {
    if (message !== 'ready') errors.push(JSON.stringify(message))
  })
  await once(worker, 'message')
  return worker
}

async function kill(worker: ChildProcess | undefined): Promise<void> {
  if (worker === undefined || worker.exitCode !== null) return
  const exit = once(worker, 'exit')
  worker.kill('SIGKILL')
  await exit
}
