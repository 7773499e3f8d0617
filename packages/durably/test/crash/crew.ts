import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KillPoint } from './kill-points.ts'
import type { Place } from './places.ts'

/** Worker processes on one database. */
export interface Crew {
  /** Kills a worker with SIGKILL and starts another in its place. */
  killOne(random: () => number): Promise<void>
  /** Stops a worker with SIGSTOP and lets it go on after so long. */
  freezeOne(random: () => number, ms: number): Promise<void>
  tell(message: string): void
  /** Workers that ended themselves; each had another started in its place. */
  kills(): number
  /** What workers said went wrong. */
  readonly errors: string[]
  dismiss(): Promise<void>
}

export interface CrewOptions {
  /** Tells each worker where to end itself; without it they live until they are killed. */
  readonly nextPoint?: () => KillPoint | null
  /** What each worker runs. */
  readonly script?: URL
}

const workerScript = new URL('worker-process.ts', import.meta.url)

export async function startCrew(
  size: number,
  place: Place,
  effectsFile: string,
  { nextPoint = () => null, script = workerScript }: CrewOptions = {},
): Promise<Crew> {
  const errors: string[] = []
  let kills = 0
  let isDismissed = false
  const start = async (at: number): Promise<void> => {
    const point = nextPoint()
    const worker = startWorker(script, [place.driver, place.at, effectsFile], errors, point)
    workers[at] = worker
    if (point !== null) {
      worker.once('exit', () => {
        if (isDismissed) return
        kills++
        void start(at)
      })
    }
    await ready(worker)
  }
  const workers: ChildProcess[] = []
  await Promise.all(Array.from({ length: size }, (_, at) => start(at)))
  const pick = (random: () => number): number => Math.floor(random() * workers.length)
  return {
    errors,
    kills: () => kills,
    async killOne(random) {
      const at = pick(random)
      await kill(workers[at])
      await start(at)
    },
    async freezeOne(random, ms) {
      const worker = workers[pick(random)]
      worker?.kill('SIGSTOP')
      await sleep(ms)
      worker?.kill('SIGCONT')
    },
    tell(message) {
      for (const worker of workers) worker.send(message)
    },
    async dismiss() {
      isDismissed = true
      await Promise.all(workers.map(kill))
    },
  }
}

function startWorker(
  script: URL,
  args: readonly string[],
  errors: string[],
  point: KillPoint | null,
): ChildProcess {
  const worker = fork(script, [...args, JSON.stringify(point)])
  worker.on('message', (message) => {
    if (message !== 'ready') errors.push(JSON.stringify(message))
  })
  return worker
}

/** Resolves once it works, or ended before it did. */
async function ready(worker: ChildProcess): Promise<void> {
  await Promise.race([once(worker, 'message'), once(worker, 'exit')])
}

async function kill(worker: ChildProcess | undefined): Promise<void> {
  if (worker === undefined || worker.exitCode !== null || worker.signalCode !== null) return
  const exit = once(worker, 'exit')
  worker.kill('SIGKILL')
  await exit
}
