import type { Env } from './env.ts'
import { DurablyError } from './error.ts'

/** What comes of `work`, or a `DurablyError` that says `message` when nothing has after `ms` milliseconds. */
export function within<T>(
  env: Pick<Env, 'after'>,
  ms: number,
  work: Promise<T>,
  message: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = env.after(ms, () => reject(new DurablyError('store', message)))
    work.then(resolve, reject).finally(cancel)
  })
}
