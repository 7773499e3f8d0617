import type { Env } from './env.ts'
import { DurablyError } from './error.ts'

/** A process that did nothing for some time, as while code of a job blocks it, hears first what was answered meanwhile. */
const GRACE_MS = 1000

/** What comes of `work`, or a `DurablyError` that says `message` when nothing has after `ms` milliseconds and a bit. */
export function within<T>(
  env: Pick<Env, 'after'>,
  ms: number,
  work: Promise<T>,
  message: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(new DurablyError('store', message))
    let cancel = env.after(ms, () => {
      cancel = env.after(GRACE_MS, giveUp)
    })
    work.then(resolve, reject).finally(() => cancel())
  })
}
