/**
 * Everything the engine takes from the world: time, timers, chance and ids.
 * The real one is in `src/env.ts`; the simulation brings its own.
 */
export interface Env {
  /** Milliseconds since the epoch. */
  now(): number
  /**
   * Milliseconds since some moment, to tell how long something took. It never goes back, whatever the clock is set to,
   * and goes on while the machine sleeps.
   */
  elapsed(): number
  /** Calls `fn` once after `ms` milliseconds; the returned function takes the call back. */
  after(ms: number, fn: () => void): () => void
  /** Calls `fn` once everything that is ready to run now has run: one turn of the event loop. */
  turn(fn: () => void): void
  /** A number in [0, 1). */
  random(): number
  /** Follows asynchronous calls, where the platform can: what `get` finds is what the innermost `run` was given. */
  scope<T>(): Scope<T> | null
  /** A new id; ids sort by the time they were made, and by order within one process. */
  id(): string
  /** Text that nobody can guess, fit for an address: 256 bits. */
  secret(): string
  /** What a secret is kept as: it tells whether someone has the secret, and not the secret. */
  digest(secret: string): Promise<string>
}

export interface Scope<T> {
  run<R>(value: T, fn: () => R): R
  get(): T | undefined
}

/** Resolves after `ms` milliseconds of the environment's time. */
export function pause(env: Pick<Env, 'after'>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    env.after(ms, resolve)
  })
}

/** Resolves once everything that is ready to run now has run, so that what takes long lets others have their turn. */
export function giveWay(env: Pick<Env, 'turn'>): Promise<void> {
  return new Promise((resolve) => {
    env.turn(resolve)
  })
}

/** Resolves when `work` is over, however it ends, or after `ms` milliseconds. */
export async function atMost(
  env: Pick<Env, 'after'>,
  ms: number,
  work: Promise<unknown>,
): Promise<void> {
  const enough = Promise.withResolvers<void>()
  const cancel = env.after(ms, enough.resolve)
  const ignore = (): void => {}
  await Promise.race([work.then(ignore, ignore), enough.promise])
  cancel()
}
