import type { Env } from '../src/core/env.ts'
import { createEnv } from '../src/env.ts'

const SPEED = 5

/** A time of which five seconds pass in one. */
export function createFastEnv(): Env {
  const env = createEnv()
  return {
    ...env,
    elapsed: () => env.elapsed() * SPEED,
    after: (ms, fn) => env.after(ms / SPEED, fn),
  }
}
